internal import CSemQueue
internal import Glibc

/// Runs a command on the semaphore's host, under its permit there, as if it ran here: its output, input, exit code
/// and signals are carried.
package struct RemoteRun {
    private let semaphore: RemoteSemaphore
    /// What `semq acquire` is called with there, each word ended by a zero byte.
    private let words: [UInt8]
    private let alarm = Alarm()

    /// - Parameter words: options of `semq acquire`, the path, `--` and the command, as bytes.
    /// - Throws: ``SemaphoreError`` where they are too long to be sent.
    package init(_ semaphore: RemoteSemaphore, words: [[UInt8]]) throws(SemaphoreError) {
        self.semaphore = semaphore
        self.words = words.flatMap { $0 + [0] }
        guard self.words.count <= Message.longestBody else {
            throw SemaphoreError(
                .usage,
                "--there: a command line of more than \(Message.longestBody >> 10) KiB; put it into a script there")
        }
    }

    /// Connects, before the command is sent.
    /// - Returns: false where the limit has passed before.
    /// - Throws: ``SemaphoreError`` where the host can't be reached.
    package static func connect(
        to semaphore: RemoteSemaphore, within limit: Duration, tell: (String) -> Void
    ) throws -> Bool {
        do {
            semaphore.host.keep(try semaphore.converse(Alarm(), deadline: .monotonic() + limit, tell))
            return true
        } catch Gate.Failure.timedOut {
            return false
        }
    }

    /// How the command ended.
    package enum End: Equatable, Sendable {
        case exited(Int32)
        case signaled(Int32)
        /// There is no way to the command any more; why, and what becomes of it.
        case lost(String)
    }

    /// - Parameters:
    ///   - signals: to be passed on; blocked from here on, once there is a connection.
    ///   - tell: for news of the connection.
    /// - Throws: ``SemaphoreError`` when it does not come to run.
    package func run(forwarding signals: [Int32], tell: (String) -> Void) throws -> End {
        try semaphore.checkNotAround()
        let nesting = semaphore.nesting
        let conversation = try semaphore.converse(alarm, deadline: nil, tell)
        semq_block_signals(signals, Int32(signals.count), true)
        let now = Duration.sinceBoot()
        let party = Party(pid: getpid(), host: LocalHost.name, user: LocalHost.user, description: "")
        var fields: [(name: String, value: String)] = [
            ("path", semaphore.path),
            ("lease", "\(semaphore.options.lease.nanoseconds / 1_000_000)"),
            ("at", semaphore.host.name), ("name", semaphore.name),
        ]
        fields += party.fields
        fields += nesting
        conversation.send(Message("there", fields, body: words))
        let session = LeasedConversation(
            conversation, agent: semaphore.host.agent, length: semaphore.options.lease, at: now)
        let descriptor = semq_signal_descriptor(signals, Int32(signals.count))
        defer {
            close(descriptor)
            session.close()
        }
        var streams = Streams(signals: signals, descriptor: descriptor)
        return try streams.carry(session, semaphore.name, alarm, tell)
    }
}

/// The three streams and the signals of this process, tied to a conversation.
private struct Streams {
    let signals: [Int32]
    /// Readable while one of them is pending.
    let descriptor: Int32
    private var window = Window()
    private var inputHasEnded = false
    /// Output that its reader has not taken yet, and for which no receipt is given before.
    private var unwritten: [(descriptor: Int32, bytes: [UInt8])] = []
    private var isDeaf: Set<Int32> = []
    private var ended: RemoteRun.End?
    /// The agent has taken the command on.
    private var isAccepted = false
    /// After a cut, until it is known what the other side has.
    private var sendsAgain = false

    init(signals: [Int32], descriptor: Int32) { (self.signals, self.descriptor) = (signals, descriptor) }

    mutating func carry(
        _ session: LeasedConversation, _ name: String, _ alarm: Alarm, _ tell: (String) -> Void
    ) throws -> RemoteRun.End {
        while true {
            write(session)
            if let ended, unwritten.isEmpty {
                _ = session.farewell(within: .seconds(1))
                return ended
            }
            let taken = window.taken
            session.resumption = { [("n", "\(taken)")] }
            let event = session.next(alarm, within: .seconds(5), or: pollEvents(session))
            if !session.isCut {
                readInput(session)
                readSignals(session) {
                    tell(
                        "\(name): Ctrl-Z stops nothing here, since the lease must be renewed; Ctrl-C ends the command there"
                    )
                }
            }
            switch event {
            case nil: break
            case .cut where !isAccepted: break
            case .cut: tell("\(name): the connection is lost; the command there goes on while it is tried again")
            case .resumed(let time, let isNews):
                sendsAgain = true
                if isNews { tell("\(name): connected again after \(time.rounded)") }
            case .ended(let end):
                switch end {
                case .gone where !isAccepted:
                    throw SemaphoreError(
                        .unreachable,
                        "\(name): the connection was lost before the host's semq answered; what it has begun ends with "
                            + "the lease")
                case .gone(let why):
                    return .lost(
                        "no way to the command there: \(why); if it still runs, it keeps its turn until it ends")
                case .expired(let why):
                    return .lost("the lock is lost: \(why); the command there was ended")
                case .superseded:
                    return .lost("no way to the command there: somebody else has taken over this connection")
                case .cutOff:
                    return .lost(
                        "the lock is lost: no connection until its lease was over; the command there is being ended")
                case .failed(let error): throw error
                }
            case .message(let message): try take(message, session, name)
            }
        }
    }

    private func pollEvents(_ session: LeasedConversation) -> [pollfd] {
        var events: [pollfd] = []
        if !session.isCut { events.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)) }
        if !inputHasEnded, window.hasRoom, !session.isCut {
            events.append(pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0))
        }
        if let first = unwritten.first {
            events.append(pollfd(fd: first.descriptor, events: Int16(POLLOUT), revents: 0))
        }
        return events
    }

    private mutating func take(_ message: Message, _ session: LeasedConversation, _ name: String) throws {
        switch message.verb {
        case "accepted":
            isAccepted = true
            if let agent = message["agent"], let secret = message["secret"] {
                session.identify(agent: agent, secret: secret)
            }
        case "have":
            let number = message.integer("n") ?? 0
            window.delivered(upTo: number)
            if sendsAgain { for message in window.again(after: number) { session.send(message) } }
            sendsAgain = false
        case "out" where window.accepts(message): unwritten.append((STDOUT_FILENO, message.body))
        case "err" where window.accepts(message): unwritten.append((STDERR_FILENO, message.body))
        case "ended" where window.accepts(message):
            ended =
                message.integer("signal").flatMap { (1...64).contains($0) ? .signaled(Int32($0)) : nil }
                ?? .exited(message.integer("code").flatMap { (0...255).contains($0) ? Int32($0) : nil } ?? 74)
            session.send(window.receipt)
        // Known already: the receipt was lost with a connection.
        case "out", "err", "ended": if unwritten.isEmpty { session.send(window.receipt) }
        case "error": throw SemaphoreError(message, path: "", as: name)
        default: break
        }
    }

    /// Hands on what has come, as far as its readers take it, and gives the receipt.
    private mutating func write(_ session: LeasedConversation) {
        while let (descriptor, bytes) = unwritten.first {
            var event = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard isDeaf.contains(descriptor) || poll(&event, 1, 0) > 0 else { return }
            // A pipe that has room takes this much without blocking.
            let count =
                isDeaf.contains(descriptor)
                ? bytes.count
                : bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, min($0.count, Int(PIPE_BUF))) }
            if count < 0, errno != EAGAIN, errno != EINTR {
                // Nobody reads it any more: the command is to learn that as it would here.
                isDeaf.insert(descriptor)
                session.send(window.number("deaf", [("to", descriptor == STDOUT_FILENO ? "out" : "err")]))
            }
            if count == bytes.count {
                unwritten.removeFirst()
                if unwritten.isEmpty { session.send(window.receipt) }
            } else if count > 0 {
                unwritten[0].bytes.removeFirst(count)
            }
        }
    }

    private mutating func readInput(_ session: LeasedConversation) {
        var event = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        guard !inputHasEnded, window.hasRoom, poll(&event, 1, 0) > 0 else { return }
        var buffer = [UInt8](repeating: 0, count: Window.largestPart)
        let count = read(STDIN_FILENO, &buffer, buffer.count)
        if count > 0 {
            session.send(window.number("in", body: Array(buffer[..<count])))
        } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
            inputHasEnded = true
            session.send(window.number("in-end"))
        }
    }

    private mutating func readSignals(_ session: LeasedConversation, _ refuseToStop: () -> Void) {
        var fromProcess = false
        var sender: Int32 = 0
        while case let number = semq_wait_signal(signals, Int32(signals.count), 0, &fromProcess, &sender), number > 0 {
            if number == SIGTSTP {
                Carriers.goOn()
                refuseToStop()
            } else {
                session.send(window.number("signal", [("number", "\(number)")]))
            }
        }
    }
}
