internal import CSemQueue
internal import Glibc

/// Runs a command on the semaphore's host for a client elsewhere: an ordinary `semq acquire` here, whose streams
/// and signals are carried. When the lease is over, its turn is ended, and with it the command and all its
/// processes.
final class AgentThere: AgentTask {
    private let path: String
    /// The words of `semq acquire`, as bytes that end in a zero each.
    private let words: [ArraySlice<UInt8>]
    private let environment: [(name: String, value: String)]
    private var pid: Int32 = 0
    private var status: Int32?
    private var input: Int32 = -1
    private var outputs: [(verb: String, descriptor: Int32)] = []
    /// Where the `semq acquire` says what it was granted.
    private var grants: Int32 = -1
    private var granted: [SlotRecord] = []
    /// What the command has died of, as that `semq acquire` says.
    private var commandDiedOf: Int32?
    /// Signals that the client has sent.
    private var told: Set<Int32> = []
    private let isNested: Bool
    /// What the command has not read yet.
    private var unread: [UInt8] = []
    private var inputHasEnded = false
    private var hasToldEnd = false
    private var window = Window()
    private var replies: [Message] = []
    private let party: Party

    /// The environment variable by which `semq acquire` learns on whose behalf it runs, and what they call its host
    /// and its semaphore: lines of party, host, name, the descriptor for ``LocalGrant/report``, and path.
    static let variable = "SEMQ_ON_BEHALF"

    /// - Throws: ``SemaphoreError`` where the request makes no sense.
    init(_ message: Message) throws(SemaphoreError) {
        guard let path = message["path"], let party = Party(message), message.body.last == 0 else {
            throw SemaphoreError(.usage, "there: wants a path and a command")
        }
        self.path = path
        words = message.body.dropLast().split(separator: 0, omittingEmptySubsequences: false)
        environment = [
            (
                Self.variable,
                ["\(party.pid) \(party.host) \(party.user)", message["at"] ?? "", message["name"] ?? "", "3", path]
                    .joined(by: "\n")
            ), (Nesting.variable, message["held"] ?? ""), (Nesting.secretVariable, message["proof"] ?? ""),
        ]
        self.party = party
        isNested = message["held"]?.isEmpty == false
    }

    func start() throws {
        for (name, value) in environment { setenv(name, value, 1) }
        // What loses its parent stays to be found.
        _ = semq_become_subreaper()
        var ends: [[Int32]] = [[-1, -1], [-1, -1], [-1, -1], [-1, -1]]
        for index in 0..<3 where semq_pipe(&ends[index]) != 0 { throw Self.noRoom(errno) }
        // A socket and not a pipe: where nobody is left to be told that is no signal.
        let kind = Int32(SOCK_STREAM.rawValue) | O_CLOEXEC | O_NONBLOCK
        guard socketpair(AF_UNIX, kind, 0, &ends[3]) == 0 else { throw Self.noRoom(errno) }
        var arguments = ["semq", "acquire"].map { (word: String) in strdup(word) } + words.map(Self.copy) + [nil]
        defer { for word in arguments { free(word) } }
        let error = semq_spawn(
            &pid, "/proc/self/exe", &arguments, ends[0][0], ends[1][1], ends[2][1], ends[3][1], [], 0)
        for descriptor in [ends[0][0], ends[1][1], ends[2][1], ends[3][1]] { close(descriptor) }
        guard error == 0 else { throw Self.noRoom(error) }
        input = ends[0][1]
        outputs = [("out", ends[1][0]), ("err", ends[2][0])]
        grants = ends[3][0]
    }

    private static func copy(_ word: ArraySlice<UInt8>) -> UnsafeMutablePointer<CChar>? {
        (Array(word) + [0]).withUnsafeBytes { strdup($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
    }

    private static func noRoom(_ error: Int32) -> SemaphoreError {
        SemaphoreError(
            .io, "can't start the command: \(String(cString: strerror(error)))", systemError: error)
    }

    deinit { if grants >= 0 { close(grants) } }

    // MARK: what the command does

    var pollEvents: [pollfd] {
        let reading = window.hasRoom ? outputs.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) } : []
        let writing = unread.isEmpty ? [] : [pollfd(fd: input, events: Int16(POLLOUT), revents: 0)]
        return reading + writing
    }

    func advance() throws -> (messages: [Message], isOver: Bool) {
        feed()
        var messages = replies
        replies = []
        // First, so that all that it has printed is read before its end is told.
        learnEnd()
        for (index, output) in outputs.enumerated().reversed() {
            while window.hasRoom {
                guard let bytes = read(from: output.descriptor) else {
                    close(output.descriptor)
                    outputs.remove(at: index)
                    break
                }
                if bytes.isEmpty { break }
                messages.append(window.number(output.verb, body: bytes))
            }
        }
        // What a daemon that it left behind still prints is nobody's.
        if let status, !hasToldEnd, outputs.isEmpty || window.hasRoom {
            hasToldEnd = true
            messages.append(window.number("ended", ending(status)))
        }
        return (messages, hasToldEnd && window.isEmpty)
    }

    private func learnEnd() {
        guard status == nil else { return }
        var found: Int32 = 0
        if waitpid(pid, &found, WNOHANG) == pid { status = found }
    }

    private func ending(_ status: Int32) -> [(name: String, value: String)] {
        let signal = status & 0x7f
        guard signal != 0 else { return [("code", "\(status >> 8 & 0xff)")] }
        let known = [("signal", "\(signal)")]
        hearOfTurn()
        // While it waits it dies of what its client has sent.
        guard commandDiedOf != signal, !told.contains(signal) else { return known }
        let isHeld = granted.contains { turn in
            (try? Administration(path, create: false))?.isHeld(turn) == true
        }
        let what: KilledThere = isHeld ? .holds : granted.isEmpty && !isNested ? .waited : .unknown
        // An older client looks at the signal alone.
        return known + [("killed", what.rawValue)]
    }

    /// - Returns: nil at the end.
    private func read(from descriptor: Int32) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: Window.largestPart)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        if count < 0 { return errno == EAGAIN || errno == EINTR ? [] : nil }
        return count == 0 ? nil : Array(buffer[..<count])
    }

    private func feed() {
        while !unread.isEmpty, input >= 0 {
            let count = unread.withUnsafeBytes { write(input, $0.baseAddress, $0.count) }
            if count > 0 {
                unread.removeFirst(count)
            } else if errno == EAGAIN || errno == EINTR {
                return
            } else {
                unread = []  // nobody reads it any more
            }
            if unread.isEmpty { replies.append(window.receipt) }
        }
        if inputHasEnded, unread.isEmpty, input >= 0 {
            close(input)
            input = -1
        }
    }

    // MARK: what the client says

    func take(_ message: Message) {
        switch message.verb {
        case "have": window.delivered(upTo: message.integer("n") ?? 0)
        case "in" where window.accepts(message):
            if input >= 0 { unread += message.body }
            if unread.isEmpty { replies.append(window.receipt) }
        case "in-end" where window.accepts(message):
            inputHasEnded = true
            replies.append(window.receipt)
        case "deaf" where window.accepts(message):
            for (index, output) in outputs.enumerated().reversed() where output.verb == message["to"] {
                close(output.descriptor)
                outputs.remove(at: index)
            }
            replies.append(window.receipt)
        case "signal" where window.accepts(message):
            if let number = message.integer("number").flatMap(Int32.init(exactly:)), (1...31).contains(number),
                status == nil
            {
                pass(number)
            }
            replies.append(window.receipt)
        // Known already: the receipt was lost with a connection.
        case "in", "in-end", "deaf", "signal": if unread.isEmpty { replies.append(window.receipt) }
        default: break
        }
    }

    /// A terminal gives its keys to every process of the foreground group, and a shell that runs a script counts on it:
    /// it ends by Ctrl-C only if what it waits for has.
    private func pass(_ signal: Int32) {
        told.insert(signal)
        // Before it has made its group it is alone.
        if signal == SIGINT || signal == SIGQUIT, kill(-pid, signal) == 0 { return }
        kill(pid, signal)
    }

    func client(isThere: Bool) {}

    func standing(for resume: Message) -> [Message] {
        [window.receipt] + window.again(after: resume.integer("n") ?? 0)
    }

    // MARK: the end

    func end(asLost: Bool) {
        if input >= 0 { close(input) }
        input = -1
        // Open until all is dead: what a command prints while it cleans up would kill it.
        defer { closeOutputs() }
        guard status == nil else { return }
        let begun = Duration.monotonic()
        // Its guardian gives the command five seconds, kills it with all its processes and gives the turn back.
        var isTold = endTurn(asLost: asLost)
        // It waits, or runs under the permit of a command around it: there is no turn to end.
        if !isTold { kill(pid, SIGTERM) }
        while !hasEnded(within: .seconds(1)) {
            // Granted just then, perhaps.
            isTold = isTold || endTurn(asLost: asLost)
            if !isTold, .monotonic() - begun > Self.grace { ProcessTree.killAll(knowing: pid) }
        }
    }

    private static let grace = Duration.seconds(5)

    /// Throws away what is printed meanwhile.
    private func hasEnded(within limit: Duration) -> Bool {
        let end = Duration.monotonic() + limit
        let alarm = Alarm()
        repeat {
            learnEnd()
            if status != nil { return true }
            drain()
            awaitDescriptors(
                outputs.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }, alarm, .milliseconds(20))
        } while .monotonic() < end
        return false
    }

    private func drain() {
        for (index, output) in outputs.enumerated().reversed() {
            // No more than a pipe holds: one that never stops printing is to be ended all the same.
            for _ in 0..<4 {
                guard let bytes = read(from: output.descriptor) else {
                    close(output.descriptor)
                    outputs.remove(at: index)
                    break
                }
                if bytes.isEmpty { break }
            }
        }
    }

    private func closeOutputs() {
        for output in outputs { close(output.descriptor) }
        outputs = []
    }

    /// As `semq release` would, but that nobody did it where the lease has run out. The turn is known by what it said
    /// itself of its grant: its party is the client's, and another client's may have the same pid and host name.
    /// - Returns: false where it holds nothing (yet).
    private func endTurn(asLost: Bool) -> Bool {
        hearOfTurn()
        let by = "\(party.user)@\(party.host)"
        return granted.contains { turn in
            let administration = try? Administration(path, create: false, by: by)
            return
                (try? administration?.end(
                    turn, reason: asLost ? Self.unheard : "its client has left it", grace: Self.grace, asLost: asLost))
                == true
        }
    }

    private func hearOfTurn() {
        var line = [UInt8](repeating: 0, count: Line.length)
        while recv(grants, &line, line.count, Int32(MSG_DONTWAIT)) == line.count {
            if let record = SlotRecord(line: line[...]) { granted.append(record) }
            if let report = EndReport(line: line[...]) { commandDiedOf = report.signal }
        }
    }

    private static let unheard = "nothing was heard from there for the length of the lease"
}
