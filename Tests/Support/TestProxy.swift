import Foundation

/// A second way to a host, under a name and an address of its own, on which connections are spoilt at an exact byte,
/// or at once. `hosts/proxy.py` tells what each phase and action is.
package final class TestProxy: Sendable {
    package let name: String
    package let address: String
    private let lab: TestLab

    fileprivate init(lab: TestLab, name: String, address: String) {
        (self.lab, self.name, self.address) = (lab, name, address)
    }

    package enum Direction: String, Sendable {
        /// What the client sends.
        case up
        /// What the host sends.
        case down
    }

    /// Where a connection is, as far as can be seen from outside; `encrypted` is all that follows.
    package enum Phase: String, Sendable, CaseIterable {
        case accept, banner, kexinit, kex, newkeys, encrypted
    }

    package enum Action: Sendable {
        /// Packets vanish from now on, at both ends.
        case drop
        /// Both ends are kept, and nothing passes.
        case silence
        /// Nothing passes until `resume`.
        case pause
        /// Both ends get a TCP reset.
        case reset
        /// Both ends get an end of file, and a reset for what they send.
        case close
        /// The receiver gets an end of file; the other direction goes on.
        case half
        /// One byte passes in so many seconds.
        case drip(seconds: Double)
        /// The next byte is another.
        case flip
        /// So many bytes at random come in between.
        case insert(bytes: Int)
        /// A text comes in between.
        case say(String)
        /// Takes back `pause`.
        case resume
        /// Takes back `drop`.
        case heal

        fileprivate var values: [String: Any] {
            switch self {
            case .drip(let seconds): ["do": "drip", "seconds": seconds]
            case .insert(let bytes): ["do": "insert", "bytes": bytes]
            case .say(let text): ["do": "insert", "text": text]
            default: ["do": "\(self)"]
            }
        }
    }

    package struct Rule: Sendable {
        package var action: Action
        package var direction: Direction
        /// Nil is the first byte.
        package var phase: Phase?
        /// So many bytes more pass before.
        package var after: Int
        /// How many connections it hits; nil: all.
        package var times: Int?

        package init(
            _ action: Action, _ direction: Direction = .down, at phase: Phase? = nil, after: Int = 0, times: Int? = nil
        ) {
            (self.action, self.direction, self.phase, self.after, self.times) = (action, direction, phase, after, times)
        }

        fileprivate var values: [String: Any] {
            var values = action.values
            values["direction"] = direction.rawValue
            values["after"] = after
            if let phase { values["at"] = phase.rawValue }
            if let times { values["times"] = times }
            return values
        }
    }

    /// What happens to connections that come from now on; replaces the rules before.
    package func rules(_ rules: Rule...) throws {
        try lab.ask("rules", ["name": name, "rules": rules.map(\.values)])
    }

    /// Does something now, to one connection or to all.
    package func act(_ action: Action, _ direction: Direction = .down, connection: Int? = nil) throws {
        var values = action.values
        values["action"] = values.removeValue(forKey: "do")
        values["direction"] = direction.rawValue
        if let connection { values["connection"] = connection }
        try lab.ask("act", values.merging(["name": name]) { $1 })
    }

    package struct Connection: Decodable, Sendable {
        package struct Stream: Decodable, Sendable {
            /// How many have passed.
            package let bytes: Int
            /// Where each phase began.
            package let phases: [String: Int]
        }

        package let number: Int
        /// The client's address.
        package let peer: String
        /// open, silent, paused, dropped, reset or closed
        package let state: String
        package let up: Stream
        package let down: Stream
    }

    /// All that there were, in order.
    package func connections() throws -> [Connection] {
        struct Answer: Decodable { let connections: [Connection] }
        return try JSONDecoder().decode(Answer.self, from: lab.ask("report", ["name": name])).connections
    }
}

extension TestLab {
    /// Makes a second way to a host; clients know the name, and the host's keys for it.
    /// - Parameter delay: seconds that everything takes more, in each direction.
    package func proxy(_ name: String, to host: TestHost, delay: Double = 0) throws -> TestProxy {
        struct Answer: Decodable { let address: String }
        let answer = try ask("proxy", ["name": name, "to": host.name, "delay": delay])
        return TestProxy(lab: self, name: name, address: try JSONDecoder().decode(Answer.self, from: answer).address)
    }
}
