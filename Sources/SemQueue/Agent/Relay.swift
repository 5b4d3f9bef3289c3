internal import Glibc

/// Carries a new connection to the agent that its client had before the cut.
enum Relay {
    /// Copies both ways until either side ends.
    static func run(_ client: Stream, _ agent: Stream) {
        let alarm = Alarm()
        while true {
            guard carry(from: client, to: agent), carry(from: agent, to: client) else { break }
            awaitDescriptors(events(client, agent), alarm, .seconds(3600))
            client.flush()
            agent.flush()
        }
        for stream in [client, agent] { stream.flush() }
    }

    /// - Returns: false at the end.
    private static func carry(from source: Stream, to target: Stream) -> Bool {
        // Whoever reads slowly slows the other side down.
        while !target.hasUnsent {
            guard let bytes = source.read() else { return false }
            if bytes.isEmpty { return true }
            target.send(Array(bytes))
        }
        return true
    }

    private static func events(_ client: Stream, _ agent: Stream) -> [pollfd] {
        events(of: client, to: agent) + events(of: agent, to: client)
    }

    /// Only a side whose bytes can be passed on is listened to.
    private static func events(of source: Stream, to target: Stream) -> [pollfd] {
        guard target.hasUnsent else { return source.pollEvents }
        return source.pollEvents.compactMap { event in
            let rest = event.events & Int16(POLLOUT)
            return rest == 0 ? nil : pollfd(fd: event.fd, events: rest, revents: 0)
        }
    }
}
