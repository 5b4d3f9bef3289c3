internal import Glibc

/// A connection to the agent of one host: first the greeting, then messages both ways. Never blocks but in
/// ``await(_:_:)``.
final class Conversation {
    let stream: Stream
    private let link: Link
    private let host: String
    /// Semq itself is put there where it is missing.
    private let isBrought: Bool
    private var search: Hello.Search
    private var early: [Message] = []
    private let begun = Duration.monotonic()

    enum State {
        /// The agent has not answered yet.
        case greeting
        case open
        case failed(SemaphoreError)
    }

    private(set) var state = State.greeting

    /// From the start to the agent's answer, typing a password included.
    private static let patience = Duration.seconds(60)

    /// Starts a connection; ``advance()`` brings it on.
    /// - Throws: ``SemaphoreError`` when not even that can be done.
    convenience init(_ agent: AgentCommand, isAttended: Bool) throws(SemaphoreError) {
        let link = try agent.shell.start(agent.command, isAttended: isAttended)
        self.init(agent, on: link, Stream(input: link.input, output: link.output))
    }

    /// With an agent that is being started on a link.
    init(_ agent: AgentCommand, on link: Link, _ stream: Stream) {
        host = agent.shell.host
        isBrought = agent.command.contains("/")
        self.link = link
        self.stream = stream
        let nonce = Secret.random().text
        search = Hello.Search(nonce: nonce)
        stream.send(Hello.greeting(nonce: nonce))
    }

    deinit { close() }

    /// Ends the connection at once, sent or not.
    func close() {
        stream.close()
        link.kill()
    }

    /// Nothing more will come; what has come may still be unread.
    var hasEnded: Bool {
        var event = pollfd(fd: stream.input, events: 0, revents: 0)
        return poll(&event, 1, 0) > 0
    }

    /// What to wait for.
    var pollEvents: [pollfd] { stream.pollEvents + [link.pollEvent] }

    /// Brings the greeting on by what has come.
    func advance() {
        link.drain()
        stream.flush()
        guard case .greeting = state else { return }
        while true {
            guard let bytes = stream.read() else {
                state = .failed(explain())
                return
            }
            if bytes.isEmpty { return }
            switch search.look(at: bytes) {
            case .notYet: continue
            case .tooNoisy:
                state = .failed(
                    SemaphoreError(
                        .unreachable,
                        "\(host): prints more than \(Hello.noiseLimit >> 10) KiB before semq answers; "
                            + "its log-in shell ends with: \(search.sample)"))
            case .found(let answer, let rest):
                if let version = answer.integer("version"), Hello.versions.contains(version) {
                    stream.take(rest[...])
                    link.hasAnswered()
                    state = .open
                } else {
                    let text = answer["text"] ?? "the host's semq speaks another version of the protocol"
                    state = .failed(SemaphoreError(.unreachable, "\(host): \(text)"))
                }
            }
            return
        }
    }

    /// The next message, once the conversation is open.
    func receive() -> Stream.Received {
        link.drain()
        return stream.receive()
    }

    func send(_ message: Message) { stream.send(message) }

    /// What the program that carries the link had to say while it was made.
    var notes: [String] { link.notes }

    /// Somebody is logged in there, as far as is told, or the log-in shell has printed something.
    var isLoggedIn: Bool { link.isLoggedIn || !search.sample.isEmpty }

    /// Waits for the greeting to end, for as long as a person may need to type a password.
    /// - Throws: ``SemaphoreError``; `Gate.Failure` when the alarm rings or the deadline passes.
    func open(_ alarm: Alarm, deadline: Duration?) throws {
        var looked = Duration.monotonic()
        var patience = looked + Self.patience
        while case .greeting = state {
            let now = Duration.monotonic()
            // Stopped meanwhile, nobody has waited; nor while somebody answers what another asks.
            if now - looked > .seconds(3) || link.mayBeHeldUp { patience += now - looked }
            looked = now
            if alarm.isRung { throw Gate.Failure.interrupted }
            if let deadline, now >= deadline { throw Gate.Failure.timedOut }
            if now >= patience {
                let said = (link.notes + [search.sample]).filter { !$0.isEmpty }.suffix(3)
                throw SemaphoreError(
                    .unreachable,
                    "\(host): no semq has answered within \(Self.patience.rounded); does the log-in shell there wait for "
                        + "something?\(isBrought ? " If not, delete ~/.cache/semq there." : "")"
                        + (said.isEmpty ? "" : " It said: \(Array(said).joined(by: "; "))"))
            }
            awaitDescriptors(pollEvents, alarm, min(.seconds(1), deadline.map { $0 - now } ?? .seconds(1)))
            advance()
        }
        if case .failed(let error) = state { throw error }
    }

    /// The next message, or nil when none has come in time.
    /// - Throws: ``SemaphoreError`` at the stream's end.
    func next(_ alarm: Alarm, within limit: Duration) throws -> Message? {
        let end = Duration.monotonic() + limit
        while true {
            switch receive() {
            case .message(let message): return message
            case .nothing: break
            case .end: throw SemaphoreError(.unreachable, "\(host): the connection was lost")
            case .garbage(let garbage): throw self.garbage(garbage)
            }
            let rest = end - .monotonic()
            if rest <= .zero || alarm.isRung { return nil }
            awaitDescriptors(pollEvents, alarm, rest)
            stream.flush()
        }
    }

    func garbage(_ garbage: MessageReader.Garbage) -> SemaphoreError {
        let sample = String(decoding: garbage.sample, as: UTF8.self)
        return SemaphoreError(.unreachable, "\(host): what comes is not semq's protocol: \(sample)")
    }

    /// Why the stream ended before the agent answered.
    private func explain() -> SemaphoreError {
        let code = link.exitCode(within: .seconds(2))
        let complaint = link.complaint
        let noise = search.sample
        let said = complaint.text.isEmpty ? noise : complaint.text
        let told = said.isEmpty ? "" : ": \(said)"
        switch code {
        case 127?:
            return SemaphoreError(
                .unreachable,
                isBrought
                    ? "\(host): there is no semq\(told)"
                    : "\(host): there is no semq in PATH; install it there, or let it be put there (without --no-bootstrap)\(told)",
                systemError: ENOENT)
        case 126?:
            return SemaphoreError(.unreachable, "\(host): semq can't be executed there\(told)", systemError: EACCES)
        case ExitOfLink.refused?: return SemaphoreError(.permission, "\(host): \(said)")
        case ExitOfLink.broken?:
            return SemaphoreError(.unreachable, "\(host): the connection was lost before semq answered\(told)")
        case ExitOfLink.failed?:
            return SemaphoreError(
                complaint.isRefusal ? .permission : .unreachable,
                "\(host): \(complaint.isRefusal ? "refused" : "can't be reached")\(told)",
                systemError: complaint.isCrowded ? EAGAIN : 0)
        case let code?:
            return SemaphoreError(
                .unreachable, "\(host): the log-in there ended with exit code \(code) before semq answered\(told)",
                systemError: ENOEXEC)
        case nil:
            return SemaphoreError(.unreachable, "\(host): the connection ended before semq answered\(told)")
        }
    }
}

/// The command that starts an agent on a host.
package struct AgentCommand: Sendable {
    package var shell: RemoteShell
    /// Of letters, digits and `._/-` alone: any log-in shell takes it as it is.
    package var command: String

    package init(shell: RemoteShell, command: String) {
        self.shell = shell
        self.command = command
    }
}
