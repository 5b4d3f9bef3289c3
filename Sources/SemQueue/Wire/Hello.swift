/// How a conversation begins.
///
/// The client sends `semq nonce=… versions=1-1` at once. Whatever a noisy log-in shell prints comes first;
/// the agent's answer, `semq-agent nonce=… version=1`, is found by the nonce, and from there on nothing but
/// messages is read.
enum Hello {
    /// The versions of the protocol that this program speaks.
    static let versions: ClosedRange<Int64> = 1...1

    /// How much noise a client skips, and how long.
    static let noiseLimit = 64 << 10
    static let timeLimit = Duration.seconds(10)

    /// How long an agent waits for the first request, and for the next when a lease has ended.
    static let requestLimit = Duration.seconds(30)
    /// How long it waits once it has answered: somebody may have typed a password for this conversation, and waits
    /// in another host's queue now.
    static let nextRequestLimit = Duration.seconds(86_400)

    static func greeting(nonce: String) -> Message {
        Message("semq", [("nonce", nonce), ("versions", "\(versions.lowerBound)-\(versions.upperBound)")])
    }

    /// What an agent answers to a greeting.
    /// - Throws: ``SemaphoreError`` with code `usage` for what is no greeting, `unreachable` where the two have
    ///   no version in common.
    static func answer(to greeting: Message, ours: ClosedRange<Int64> = versions) throws(SemaphoreError) -> Message {
        guard greeting.verb == "semq", let nonce = greeting["nonce"], !nonce.isEmpty, nonce.utf8.count <= 64,
            let theirs = range(greeting["versions"])
        else { throw SemaphoreError(.usage, "this is a semq agent, which a semq on another host talks to") }
        guard theirs.overlaps(ours) else {
            throw SemaphoreError(.unreachable, mismatch(agent: ours, client: theirs))
        }
        return Message("semq-agent", [("nonce", nonce), ("version", "\(min(theirs.upperBound, ours.upperBound))")])
    }

    private static func range(_ text: String?) -> ClosedRange<Int64>? {
        let ends = (text ?? "").split(separator: "-").map { Int64($0) }
        guard ends.count == 2, let low = ends[0], let high = ends[1], 0 < low, low <= high else { return nil }
        return low...high
    }

    static func mismatch(agent: ClosedRange<Int64>, client: ClosedRange<Int64>) -> String {
        func text(_ range: ClosedRange<Int64>) -> String {
            range.count == 1 ? "version \(range.lowerBound)" : "versions \(range.lowerBound) to \(range.upperBound)"
        }
        let older = agent.upperBound < client.lowerBound ? "the host's" : "this side's"
        return "the host's semq speaks \(text(agent)) of the protocol, this one \(text(client)); update \(older) semq"
    }

    /// Looks for the agent's answer in what a host prints.
    struct Search {
        private let mark: [UInt8]
        private(set) var noise: [UInt8] = []

        enum Result: Equatable {
            case notYet
            /// With what came behind it.
            case found(Message, rest: [UInt8])
            /// No agent prints that much before it answers.
            case tooNoisy
        }

        init(nonce: String) { mark = Array("semq-agent nonce=\(nonce) ".utf8) }

        mutating func look(at bytes: ArraySlice<UInt8>) -> Result {
            noise += bytes
            guard let start = find() else { return noise.count > Hello.noiseLimit ? .tooNoisy : .notYet }
            guard let end = noise[start...].firstIndex(of: UInt8(ascii: "\n")) else {
                return noise.count - start > Message.longestLine ? .tooNoisy : .notYet
            }
            var reader = MessageReader()
            reader.append(noise[start...end])
            let rest = Array(noise[(end + 1)...])
            noise.removeSubrange(start...)
            guard let answer = try? reader.next() else { return .tooNoisy }
            return .found(answer, rest: rest)
        }

        private func find() -> Int? {
            var from = noise.startIndex
            while let first = noise[from...].firstIndex(of: mark[0]) {
                if noise[first...].starts(with: mark) { return first }
                from = first + 1
            }
            return nil
        }

        /// The last lines of what was printed, for an error.
        var sample: String {
            let text = String(decoding: noise.suffix(400), as: UTF8.self)
            return text.split(whereSeparator: \.isNewline).suffix(3).joined(separator: " / ")
        }
    }
}
