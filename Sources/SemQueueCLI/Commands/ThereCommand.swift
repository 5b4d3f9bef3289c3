internal import CSemQueue
internal import Glibc
internal import SemQueue

/// `semq acquire --there`: the command runs on the semaphore's host, under `semq acquire` there.
struct ThereCommand {
    private let semaphore: RemoteSemaphore
    /// Beside how long to wait.
    private let options: [[UInt8]]
    /// The semaphore as it is named there, and the command.
    private let operands: [[UInt8]]
    private let limit: Duration?
    private let isQuiet: Bool
    /// Names of those among the options that an older `semq` there doesn't know.
    private let newer: [String]

    /// Options that mean the same there. The others are about the way there, or are looked at below, but for `--on-lost`
    /// and several semaphores (`--any`, `--all`), which are refused.
    private static let passedOn =
        ["conflict-exit-code", "priority", "concurrency", "existing", "any-filesystem", "quiet", "verbose"] + newer
    private static let newer = ["until", "grace"]

    init(_ options: Options, _ semaphores: [any NamedSemaphore], _ request: Request) throws {
        guard semaphores.count == 1, let semaphore = semaphores[0] as? RemoteSemaphore else {
            throw SemaphoreError(
                .usage, "acquire: --there wants one semaphore on another host, such as bench:board.queue")
        }
        guard options.word("command") != nil || options.trailing?.isEmpty == false else {
            throw SemaphoreError(.usage, "acquire: --there wants a command to run on the host")
        }
        guard !semaphore.warnsOnly else {
            throw SemaphoreError(
                .usage, "acquire: with --there the command ends with the lease at any rate; leave --on-lost warn out")
        }
        self.semaphore = semaphore
        newer = Self.newer.filter(options.has)
        isQuiet = options.has("quiet")
        var words: [[UInt8]] = []
        for (name, value, _) in options.values where Self.passedOn.contains(name) {
            words.append(Array("--\(name)\(value.isEmpty ? "" : "=\(value)")".utf8))
        }
        if request.limit == .zero { words.append(Array("--nonblock".utf8)) }
        words.append(Array("--description=\(request.description)".utf8))
        if let line = options.word("command") { words += [Array("--command".utf8), Self.bytes(line)] }
        self.options = words
        let trailing = options.trailing == nil ? [] : [Array("--".utf8)] + options.trailingWords.map(Self.bytes)
        operands = [Array(semaphore.localName.utf8)] + trailing
        limit = request.limit.flatMap { $0 > .zero ? $0 : nil }
        _ = try remote(waiting: limit)
    }

    private func remote(waiting limit: Duration?) throws -> RemoteRun {
        let wait = limit.map { [Array("--wait=\(max(0, Double($0.nanoseconds) / 1e9))".utf8)] } ?? []
        return try RemoteRun(semaphore, words: options + wait + operands, newer: newer)
    }

    private static func bytes(_ word: Options.Word) -> [UInt8] {
        UnsafeRawBufferPointer(start: word, count: strlen(word)).map { $0 }
    }

    /// - Returns: nil where the time to wait was over before the host could be asked.
    func run() throws -> ExitCode? {
        let begun = Duration.monotonic()
        let tell: (String) -> Void = { if !isQuiet { Terminal.say($0) } }
        if let limit, try !RemoteRun.connect(to: semaphore, within: limit, tell: tell) { return nil }
        let remote = try remote(waiting: limit.map { $0 - (.monotonic() - begun) })
        // A stop from the terminal would stop the heartbeats, and with them the lease.
        let signals = (Signals.forwarded + [SIGTSTP]).filter { !semq_signal_is_ignored($0) && $0 != SIGWINCH }
        semq_signal_default(SIGPIPE, true)
        switch try remote.run(forwarding: signals, tell: tell) {
        case .exited(let code): return ExitCode(rawValue: code)
        case .signaled(let signal):
            semq_die_by(signal)
            return ExitCode(rawValue: 128 + signal)
        case .lost(let why):
            Terminal.say("\(semaphore.name): \(why)")
            return .lost
        }
    }
}
