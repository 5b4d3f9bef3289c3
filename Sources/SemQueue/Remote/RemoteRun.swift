internal import CSemQueue
internal import Glibc

/// Runs a command on the semaphore's host, under its permit there, as if it ran here: its output, input, exit code
/// and signals are carried.
package struct RemoteRun {
    private let semaphore: RemoteSemaphore
    /// What `semq acquire` is called with there, each word ended by a zero byte.
    private let words: [UInt8]
    /// Options among them that an older agent's `semq acquire` doesn't know.
    private let newer: [String]
    private let alarm = Alarm()

    /// What an agent is asked that has to know them: one that doesn't know the word either refuses it.
    static let newerVerb = "there-until"

    /// - Parameters:
    ///   - words: options of `semq acquire`, the path, `--` and the command, as bytes.
    ///   - newer: names of those options that not every agent knows.
    /// - Throws: ``SemaphoreError`` where they are too long to be sent.
    package init(_ semaphore: RemoteSemaphore, words: [[UInt8]], newer: [String]) throws(SemaphoreError) {
        self.semaphore = semaphore
        self.newer = newer
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
        // In the background, what is said of the connection is written to the terminal all the same, though it may be set
        // to stop whoever does (stty tostop): a stop would end the lease.
        let all = signals + [SIGTTIN, SIGTTOU]
        semq_block_signals(all, Int32(all.count), true)
        let (input, output) = (try InputThread(), try OutputThread())
        let now = Duration.sinceBoot()
        let party = Party(pid: getpid(), host: LocalHost.name, user: LocalHost.user, description: "")
        var fields: [(name: String, value: String)] = [
            ("path", semaphore.path),
            ("lease", "\(semaphore.options.lease.nanoseconds / 1_000_000)"),
            ("at", semaphore.host.name), ("name", semaphore.name),
        ]
        fields += party.fields
        fields += nesting
        conversation.send(Message(newer.isEmpty ? "there" : Self.newerVerb, fields, body: words))
        let session = LeasedConversation(
            conversation, agent: semaphore.host.agent, length: semaphore.options.lease, at: now)
        let descriptor = semq_signal_descriptor(signals, Int32(signals.count))
        defer {
            close(descriptor)
            session.close()
        }
        var streams = RemoteStreams(input: input, output: output, signals: signals, descriptor: descriptor)
        do {
            return try streams.carry(session, semaphore.name, alarm, tell)
        } catch let error as SemaphoreError where !newer.isEmpty && error.message.contains("‘\(Self.newerVerb)’") {
            let options = newer.map { "--\($0)" }.joined(by: " and ")
            throw SemaphoreError(
                .unreachable,
                "\(semaphore.name): the host's semq is too old for \(options) with --there; update it, or leave that out"
            )
        }
    }
}
