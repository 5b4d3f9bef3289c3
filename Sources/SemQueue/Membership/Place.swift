/// Where a waiter stands, for those who show it.
package final class Place {
    package let ticket: Ticket
    package let path: String
    /// The locks that make the place: descriptor, first byte and length.
    package let descriptor: Int32
    package let start: Int64
    package let length: Int64
    /// The lock that the head may be given any moment while it blocks.
    package let slotStart: Int64
    package let slotLength: Int64
    /// Must not survive into a process forked meanwhile.
    package var privateDescriptor: Int32 { view.descriptor }

    private let file: QueueFile
    private let view: Description
    private var seen: Header?

    init(_ ticket: Ticket, file: QueueFile, own: Description, gate: Gate) {
        self.ticket = ticket
        self.file = file
        path = file.path
        descriptor = own.descriptor
        let span = LockSpace.placeAndMember(ticket)
        start = span.start
        length = span.length
        let slot = LockSpace.holdAndDoorbell(0)
        slotStart = slot.start
        slotLength = slot.length
        view = gate.description
    }

    /// Whether anything was granted, paused or set since the last call. Costs one read.
    package func hasChanged() -> Bool {
        guard let header = Book.header(from: view) else { return false }
        defer { seen = header }
        return seen?.lastToken != header.lastToken || seen?.pause != header.pause
            || seen?.concurrency != header.concurrency
    }

    /// The queue without those who wait.
    package func holders() -> QueueStatus { QueueStatus(of: file, through: view, withWaiting: false) }

    /// How many wait ahead, by their records; up to ``certain`` of them are asked for in the kernel.
    package func ahead() -> Int {
        // The grant may come any moment now: no time to read what all have written.
        guard view.nearestAhead(of: ticket) != nil else { return 0 }
        let tickets = QueueFile.records(WaiterRecord.self, in: QueueFile.waiterLines, from: view)
            .map(\.record.ticket).filter { $0 < ticket }
        return tickets.count > Self.certain ? tickets.count : tickets.count { view.isAlive($0) }
    }

    /// Beyond this many, one who died without a word may be counted: asking costs a call each, and each
    /// call a look at every lock.
    private static let certain = 64
}
