/// Where a waiter stands, for those who show it.
package protocol Place: AnyObject {
    /// The semaphore as it was named.
    var path: String { get }
    /// The kernel's locks that make the place, where it is on this host.
    var locks: PlaceLocks? { get }
    /// Whether anything was granted, paused or set since the last call.
    func hasChanged() -> Bool
    /// The queue without those who wait.
    func holders() -> QueueStatus
    /// How many wait ahead.
    func ahead() -> Int
    /// Whether there may be more than ``ahead()`` has counted.
    var isUncertain: Bool { get }
    /// Not in a line: the queue's file was deleted or replaced, and those who hold it are waited for.
    var isFormer: Bool { get }
    /// In the line of the file that bears the queue's name, as far as can be told from here.
    var isInPlace: Bool { get }
}

extension Place {
    package var isUncertain: Bool { false }
    package var isFormer: Bool { false }
    package var isInPlace: Bool { true }
}

/// The locks that make a place in a queue file.
package struct PlaceLocks: Sendable {
    package var descriptor: Int32
    package var start: Int64
    package var length: Int64
    /// The lock that the head may be given any moment while it blocks.
    package var slotStart: Int64
    package var slotLength: Int64
    /// Must not survive into a process forked meanwhile.
    package var privateDescriptor: Int32
}

final class LocalPlace: Place {
    let ticket: Ticket
    let path: String
    private let own: Description

    private let file: QueueFile
    private let view: Description
    private var seen: Header?
    private var seenRemarks: [UInt8] = []

    let isFormer: Bool

    init(_ ticket: Ticket, file: QueueFile, own: Description, gate: Gate, isFormer: Bool = false) {
        self.isFormer = isFormer
        self.ticket = ticket
        self.file = file
        path = file.path
        self.own = own
        view = gate.description
    }

    var locks: PlaceLocks? {
        let (place, slot) = (LockSpace.placeAndMember(ticket), LockSpace.holdAndDoorbell(0))
        return PlaceLocks(
            descriptor: own.descriptor, start: place.start, length: place.length, slotStart: slot.start,
            slotLength: slot.length, privateDescriptor: view.descriptor)
    }

    /// Costs two reads.
    func hasChanged() -> Bool {
        guard let header = Book.header(from: view) else { return false }
        let remarks = Remark.all(header.concurrency, from: view)
        defer { (seen, seenRemarks, wasNext) = (header, remarks, isNext) }
        // One that comes with a higher priority draws no token, but the head sees it.
        return seen?.lastToken != header.lastToken || seen?.pause != header.pause
            || seen?.concurrency != header.concurrency || wasNext && !isNext || seenRemarks != remarks
    }

    var isInPlace: Bool { !isFormer && file.isInPlace(through: own) }

    func holders() -> QueueStatus { QueueStatus(of: file, through: view, withWaiting: false) }

    private(set) var isUncertain = false

    /// It waits for a slot and behind nobody: whoever is ahead stands still.
    var isNext = false
    private var wasNext = false

    /// How many wait ahead, by their records; up to ``certain`` of them are asked for in the kernel.
    func ahead() -> Int {
        isUncertain = false
        // The grant may come any moment now: no time to read what all have written.
        guard !isNext, !isFormer, let nearest = view.nearestAhead(of: ticket) else { return 0 }
        let tickets = QueueFile.waitingTickets(from: view).filter { $0 < ticket }
        // Where the neighbour's record is missing, others are too: the file was damaged, or the disk is full.
        guard tickets.contains(nearest) else {
            let counted = view.waitingAhead(of: ticket, limit: Self.certain).count
            isUncertain = counted == Self.certain
            return isUncertain ? max(counted, tickets.count) : counted
        }
        return tickets.count > Self.certain ? tickets.count : tickets.count { view.isAlive($0) }
    }

    /// Beyond this many, one who died without a word may be counted: asking costs a call each, and each
    /// call a look at every lock.
    private static let certain = 64
}
