internal import CSemQueue
internal import Glibc
internal import SemQueue

/// The signals that `semq` and its guardian deal with while a command runs.
enum Signals {
    /// Passed on to the command.
    static let forwarded: [Int32] = [
        SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGPWR,
    ]
    /// Stops from the terminal: `semq` stops when the command has stopped, not before.
    static let stopping: [Int32] = [SIGTSTP, SIGTTIN, SIGTTOU]

    /// Ctrl-C and Ctrl-\.
    static let interrupting: [Int32] = [SIGINT, SIGQUIT]

    static var alarm: Int32 { semq_alarm_signal() }

    static var supervised: [Int32] { forwarded + stopping + [SIGCHLD, SIGCONT, alarm] }

    static func block(_ signals: [Int32]) { semq_block_signals(signals, Int32(signals.count), true) }

    static func unblock(_ signals: [Int32]) { semq_block_signals(signals, Int32(signals.count), false) }

    /// Whether one of the blocked signals waits to be taken.
    static func isPending(_ signals: [Int32]) -> Bool {
        var pending = sigset_t()
        sigpending(&pending)
        return signals.contains { sigismember(&pending, $0) == 1 }
    }

    struct Received {
        var signal: Int32
        /// By kill(2), not by the kernel or the terminal (or an agent in its place).
        var fromProcess: Bool
        var sender: Int32

        /// What the command is to get for it. From the terminal the whole foreground group has got it, the command
        /// included; but when the terminal goes away, the kernel tells the leader of its session alone.
        /// - Parameter hasEnded: the command has; then Ctrl-C is for what it has left.
        func forCommand(hasEnded: Bool) -> [Int32] {
            if fromProcess || hasEnded && Signals.interrupting.contains(signal) { return [signal] }
            // One that is stopped heeds it once it goes on.
            return signal == SIGHUP && getsid(0) == getpid() ? [SIGHUP, SIGCONT] : []
        }
    }

    /// The next of the blocked signals, or nil when time is up.
    static func next(_ signals: [Int32], within limit: Duration) -> Received? {
        var fromProcess = false
        var sender: Int32 = 0
        let signal = semq_wait_signal(signals, Int32(signals.count), limit.nanoseconds, &fromProcess, &sender)
        guard signal > 0 else { return nil }
        if let onBehalf = OnBehalf.current, onBehalf.isKey(signal, from: sender) { fromProcess = false }
        return Received(signal: signal, fromProcess: fromProcess, sender: sender)
    }
}
