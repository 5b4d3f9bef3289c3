/// Conversations that have nothing under way and can take another request, for a short while.
///
/// A conversation is one owner's at a time: whoever takes it from here, or nobody.
struct IdleConversations: @unchecked Sendable {
    private var kept: [(conversation: Conversation, since: Duration)] = []
    private static let most = 4

    mutating func isEmpty(at now: Duration) -> Bool {
        discardOld(at: now)
        return kept.isEmpty
    }

    /// - Parameter now: on CLOCK_BOOTTIME.
    mutating func keep(_ conversation: Conversation, at now: Duration) {
        discardOld(at: now)
        if kept.count < Self.most { kept.append((conversation, now)) }
    }

    /// The one that was kept last.
    mutating func take(at now: Duration) -> Conversation? {
        discardOld(at: now)
        return kept.popLast()?.conversation
    }

    /// Their agents will have left before long.
    private mutating func discardOld(at now: Duration) { kept.removeAll { now - $0.since > Hello.keptLimit } }
}
