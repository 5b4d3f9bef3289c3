/// What people do to a queue as a whole, on this host or another: change it, pause it, end somebody's turn.
package protocol QueueAdministration {
    /// Sets the concurrency, for all who come and all who wait. Those beyond a lowered one keep what they
    /// hold; nobody is granted until enough have ended.
    func setConcurrency(_ concurrency: Int) throws -> QueueChange

    /// Grants nobody any more until ``resume()``. Holders keep what they hold.
    func pause(reason: String) throws -> QueueChange

    func resume() throws -> QueueChange

    /// Ends the turn of a ticket: a holder's command is ended and its slot given back, a waiter taken out.
    /// - Parameters:
    ///   - number: the ticket's number.
    ///   - grace: how long the command has between SIGTERM and SIGKILL.
    /// - Returns: who it was, once the message is in place; nil if no such ticket lives.
    /// - Throws: ``SemaphoreError`` when the message can't be left.
    func remove(ticket number: Int64, reason: String, grace: Duration) throws -> QueueMember?

    /// Whether a ticket of this number still lives.
    func isAlive(_ number: Int64) throws -> Bool
}

/// What a change did to a queue.
package struct QueueChange: Equatable, Sendable {
    /// Where the queue is, host and absolute path, if it was made by this.
    package var made: String?
    package var concurrency: Int
    /// As many hold, who may be more than a lowered concurrency.
    package var holding: Int
}

/// Who is meant by a ticket's number.
package enum QueueMember: Equatable, Sendable {
    case holder(Party)
    case waiter(Party)

    package var party: Party {
        switch self {
        case .holder(let party), .waiter(let party): party
        }
    }
}
