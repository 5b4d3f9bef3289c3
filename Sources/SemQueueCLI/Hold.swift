internal import CSemQueue
internal import Glibc
internal import SemQueue

/// Holding without a command: until standard input closes, a signal comes or the permit is gone.
struct Hold {
    let permits: Permits

    func run() -> ExitCode {
        semq_waiting_end()
        let deadly = [SIGHUP, SIGINT, SIGQUIT, SIGTERM].filter { !semq_signal_is_ignored($0) }
        Signals.block(deadly)
        for grant in permits.grants {
            Terminal.print("acquired \(grant.path.printable) ticket=\(grant.ticket.number) slot=\(grant.slot) token=\(grant.token)")
        }
        if permits.grants.isEmpty { Terminal.print("acquired under the permit of the command around it") }
        while true {
            if let loss = permits.loss() {
                Terminal.say(loss.loss.message(at: loss.grant.path))
                permits.release()
                return .lost
            }
            var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            // A signal that is blocked can't end poll(2): ppoll lets it through just there.
            let end = inputEnds(&input, within: .seconds(1), signals: deadly)
            switch end {
            case .time: continue
            case .closed:
                permits.release()
                return .success
            case .signal(let signal):
                permits.release()
                semq_die_by(signal)
                return ExitCode(rawValue: 128 + signal)
            }
        }
    }

    private enum End {
        case time, closed
        case signal(Int32)
    }

    private func inputEnds(_ input: inout pollfd, within limit: Duration, signals: [Int32]) -> End {
        let pending = signalfd(signals)
        defer { close(pending) }
        var sources = [input, pollfd(fd: pending, events: Int16(POLLIN), revents: 0)]
        guard poll(&sources, 2, Int32(limit.nanoseconds / 1_000_000)) > 0 else { return .time }
        if sources[1].revents != 0, let received = Signals.next(signals, within: .zero) { return .signal(received.signal) }
        guard sources[0].revents != 0 else { return .time }
        // What is written to us says nothing: only the end counts.
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = read(STDIN_FILENO, &buffer, buffer.count)
        return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN)) ? .time : .closed
    }

    private func signalfd(_ signals: [Int32]) -> Int32 { semq_signal_descriptor(signals, Int32(signals.count)) }
}
