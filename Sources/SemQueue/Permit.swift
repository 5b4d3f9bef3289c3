/// What a body runs under inside ``SemaphoreQueue/withPermit(_:_:)``: proof of its turn.
public struct Permit: Sendable {
    /// The semaphore as it was named.
    public let semaphore: String
    /// The member's number in the queue, as `semq status` shows it.
    public let ticket: Ticket
    /// From 0 to concurrency − 1: which of several equal things to use.
    public let slot: Int
    /// The fencing token: greater with each grant. Hand it to the protected thing, and let that refuse
    /// any lower one, where a paused or cut-off holder could still act (M. Kleppmann, “How to do
    /// distributed locking”, 2016).
    public let token: Int64
    /// For a command that the body starts: what `semq acquire` would have put into its environment. With
    /// it a `semq acquire` of the same queue inside runs under this permit.
    public var environment: [String: String] {
        let permits = permits.proved
        return [
            "SEMQ_SEMAPHORE": semaphore, "SEMQ_TICKET": "\(ticket.number)", "SEMQ_SLOT": "\(slot)",
            "SEMQ_TOKEN": "\(token)", Nesting.variable: permits.environment, Nesting.secretVariable: permits.secrets,
        ]
    }

    /// This one and those around.
    private let permits: Nesting

    init(_ path: String, _ held: Nesting.Held, slot: Int, among permits: Nesting) {
        semaphore = path
        ticket = held.ticket
        self.slot = slot
        token = held.token
        self.permits = permits
    }

    /// The permits that enclose the current task.
    @TaskLocal static var enclosing = Nesting.inherited()
}
