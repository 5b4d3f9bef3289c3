/// Conversations that have nothing under way and can take another request, while their agents wait for one.
///
/// A conversation is one owner's at a time: whoever takes it from here, or nobody.
struct IdleConversations: @unchecked Sendable {
    private var kept: [(conversation: Conversation, until: Duration)] = []
    private static let most = 4

    mutating func isEmpty(at now: Duration) -> Bool {
        discardOld(at: now)
        return kept.isEmpty
    }

    /// - Parameters:
    ///   - limit: how long its agent waits for the next request, which is on its way well before.
    ///   - now: on CLOCK_BOOTTIME.
    mutating func keep(_ conversation: Conversation, limit: Duration, at now: Duration) {
        discardOld(at: now)
        if kept.count < Self.most { kept.append((conversation, now + limit / 2)) }
    }

    /// The one that was kept last.
    mutating func take(at now: Duration) -> Conversation? {
        discardOld(at: now)
        return kept.popLast()?.conversation
    }

    /// Their agents will have left before long.
    private mutating func discardOld(at now: Duration) { kept.removeAll { $0.until < now } }
}
