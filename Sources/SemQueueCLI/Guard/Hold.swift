internal import CSemQueue
internal import Glibc
internal import SemQueue

/// Holding without a command: until standard input closes, a signal comes or the permit is gone.
struct Hold {
    let permits: Permits
    /// Whether people are told more than what was acquired.
    let talks: Bool

    func run() -> ExitCode {
        let deadly = [SIGHUP, SIGINT, SIGQUIT, SIGTERM].filter { !semq_signal_is_ignored($0) }
        Signals.block(deadly)
        semq_waiting_end()
        semq_waiting_allow_stop(true)
        permits.keep()
        if let lost = endIfLost() { return lost }
        for permit in permits.told {
            let line =
                "acquired \(permit.path.printable) ticket=\(permit.ticket.number) slot=\(permit.slot) token=\(permit.token)\n"
            guard Terminal.write(line, to: STDOUT_FILENO) else {
                Terminal.say("can't write to standard output: \(String(cString: strerror(errno)))")
                permits.release()
                return .io
            }
        }
        if talks, Terminal.isTerminal(STDIN_FILENO), Terminal.isTerminal(STDERR_FILENO) {
            Terminal.say(
                Terminal.isInBackground(STDIN_FILENO)
                    ? "held in the background: kill \(getpid()) ends it, or fg and then Ctrl-D"
                    : "held until Ctrl-D, the end of standard input")
        }
        while true {
            tellNews()
            if let lost = endIfLost() { return lost }
            // A job in the background that reads what is typed is stopped, and heeds no SIGTERM then.
            let reads = !Terminal.isInBackground(STDIN_FILENO)
            switch nextEvent(within: reads ? .seconds(1) : .milliseconds(200), deadly, reads: reads) {
            case .time: continue
            case .closed:
                permits.release()
                tellNews()
                return .success
            case .signal(let signal):
                permits.release()
                tellNews()
                semq_die_by(signal)
                return ExitCode(rawValue: 128 + signal)
            }
        }
    }

    private func tellNews() {
        for news in permits.grants.flatMap({ $0.news() }) { Terminal.say(news) }
    }

    private func endIfLost() -> ExitCode? {
        guard let (grant, loss) = permits.loss() else { return nil }
        Terminal.say(loss.message(at: grant.path))
        permits.release()
        return .lost
    }

    private enum End {
        case time, closed
        case signal(Int32)
    }

    /// - Parameter reads: whether the end of standard input counts.
    private func nextEvent(within limit: Duration, _ deadly: [Int32], reads: Bool) -> End {
        let signals = semq_signal_descriptor(deadly, Int32(deadly.count))
        defer { close(signals) }
        var sources = [reads ? STDIN_FILENO : -1, signals].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        guard poll(&sources, 2, Int32(limit.nanoseconds / 1_000_000)) > 0 else { return .time }
        if sources[1].revents != 0, let received = Signals.next(deadly, within: .zero) {
            return .signal(received.signal)
        }
        guard sources[0].revents != 0, !Terminal.isInBackground(STDIN_FILENO) else { return .time }
        // What is written to us says nothing: only the end counts.
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = read(STDIN_FILENO, &buffer, buffer.count)
        return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN)) ? .time : .closed
    }
}
