internal import CSemQueue
internal import Glibc
internal import SemQueue

/// `semq acquire --there`: the command runs on the semaphore's host, under `semq acquire` there.
struct ThereCommand {
    private let semaphore: RemoteSemaphore
    private let remote: RemoteRun
    private let isQuiet: Bool

    /// Options that mean the same there.
    private static let passedOn = [
        "conflict-exit-code", "wait", "timeout", "priority", "concurrency", "existing", "any-filesystem", "nonblock",
        "nb",
        "quiet", "verbose",
    ]

    init(_ options: Options, _ semaphores: [any NamedSemaphore], _ request: Request) throws {
        guard semaphores.count == 1, let semaphore = semaphores[0] as? RemoteSemaphore else {
            throw SemaphoreError(
                .usage, "acquire: --there wants one semaphore on another host, such as bench:board.queue")
        }
        guard options.word("command") != nil || options.trailing?.isEmpty == false else {
            throw SemaphoreError(.usage, "acquire: --there wants a command to run on the host")
        }
        self.semaphore = semaphore
        isQuiet = options.has("quiet")
        var words: [[UInt8]] = []
        for (name, value, _) in options.values where Self.passedOn.contains(name) {
            words.append(Array("--\(name)\(value.isEmpty ? "" : "=\(value)")".utf8))
        }
        words.append(Array("--description=\(request.description)".utf8))
        if let line = options.word("command") { words += [Array("--command".utf8), Self.bytes(line)] }
        words.append(Array(semaphore.localName.utf8))
        if options.trailing != nil { words += [Array("--".utf8)] + options.trailingWords.map(Self.bytes) }
        remote = try RemoteRun(semaphore, words: words)
    }

    private static func bytes(_ word: Options.Word) -> [UInt8] {
        UnsafeRawBufferPointer(start: word, count: strlen(word)).map { $0 }
    }

    func run() throws -> ExitCode {
        // A stop from the terminal would stop the heartbeats, and with them the lease.
        let signals = (Signals.forwarded + [SIGTSTP]).filter { !semq_signal_is_ignored($0) && $0 != SIGWINCH }
        semq_signal_default(SIGPIPE, true)
        switch try remote.run(forwarding: signals, tell: { if !isQuiet { Terminal.say($0) } }) {
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
