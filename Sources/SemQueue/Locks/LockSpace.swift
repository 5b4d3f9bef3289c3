/// The bytes of a queue file that are locked. All lie far past its end: locks need no data under them.
///
/// A lock's offset says what it means, so that order and liveness can be read from the kernel alone:
///
///     1 << 57             one byte for each proof of a turn
///     1 << 58             two bytes for each line that tells who runs nested
///     1 << 59             where probes tell whether two names mean one file
///     1 << 60             the mutex; two bytes on, whoever looks for its holder
///     … + (1 << 20)       two bytes for each slot: hold, doorbell
///     1 << 61             two bytes for each ticket: place, member; an earlier turn lies lower
///     1 << 62             one byte for each ticket: nested
///
/// A ticket's two bytes are locked for writing while its owner waits and for reading once it holds.
/// Waiters look ahead by asking what stands in the way of a *read* lock: they see those who wait and
/// not those who hold, and never each other's short read locks on a place.
enum LockSpace {
    struct Span: Equatable {
        var start: Int64
        var length: Int64
        var end: Int64 { start + length }
    }

    static let mutex = Span(start: 1 << 60, length: 1)

    /// Means nothing: to try whether locks work.
    static let probe = Span(start: (1 << 60) + 1, length: 1)

    /// Locked by the one who looks which process stands still with the mutex.
    static let inquiry = Span(start: (1 << 60) + 2, length: 1)

    // MARK: probes

    /// How far a probe's lock may lie from where it is looked for, and how many such areas there are.
    static let probeArea: Int64 = 1 << 32
    static let probeAreas: Int64 = 1 << 24
    static let probes = Span(start: 1 << 59, length: probeArea * probeAreas)

    // MARK: proofs of turns

    /// So many digits of a proof say where the holder locks.
    static let proofDigits = 14

    static func proof(_ number: UInt64) -> Span { Span(start: (1 << 57) + Int64(number), length: 1) }

    // MARK: who runs nested

    /// As many are told of.
    static let maximumNested = 256
    static let nestedLines = Span(start: 1 << 58, length: Int64(maximumNested) * 2)

    /// Locked by whoever the line tells of.
    static func nestedLine(_ index: Int) -> Span { Span(start: nestedLines.start + Int64(index) * 2, length: 1) }

    static func nestedLine(at offset: Int64) -> Int { Int((offset - nestedLines.start) / 2) }

    // MARK: slots

    static let maximumConcurrency = 1024
    private static let slotBase: Int64 = (1 << 60) + (1 << 20)
    static let slots = Span(start: slotBase, length: Int64(maximumConcurrency) * 2)

    /// Locked for writing while the slot is held: this *is* the permit.
    static func hold(_ slot: Int) -> Span { Span(start: slotBase + Int64(slot) * 2, length: 1) }

    /// Locked together with the hold. The head of the queue waits here and not on the hold, so that
    /// its short read lock can never be in the way of a claim.
    static func doorbell(_ slot: Int) -> Span { Span(start: slotBase + Int64(slot) * 2 + 1, length: 1) }

    static func holdAndDoorbell(_ slot: Int) -> Span { Span(start: slotBase + Int64(slot) * 2, length: 2) }

    static func slot(at offset: Int64) -> Int { Int((offset - slotBase) / 2) }

    // MARK: tickets

    private static let ticketBase: Int64 = 1 << 61
    private static let nestedBase: Int64 = 1 << 62
    private static let numbers = Ticket.numbers.upperBound

    private static func index(_ ticket: Ticket) -> Int64 {
        Int64(Ticket.priorities.upperBound - ticket.priority) * numbers + ticket.number
    }

    static let tickets = Span(start: ticketBase, length: Int64(Ticket.priorities.count) * numbers * 2)

    /// Whoever is next behind this ticket waits here.
    static func place(_ ticket: Ticket) -> Span { Span(start: ticketBase + index(ticket) * 2, length: 1) }

    /// Nobody but the owner ever locks this byte: a lock on it says that the ticket lives.
    static func member(_ ticket: Ticket) -> Span { Span(start: ticketBase + index(ticket) * 2 + 1, length: 1) }

    static func placeAndMember(_ ticket: Ticket) -> Span { Span(start: ticketBase + index(ticket) * 2, length: 2) }

    /// Locked for reading by whoever runs under this ticket's permit from further inside.
    static func nested(_ ticket: Ticket) -> Span { Span(start: nestedBase + index(ticket), length: 1) }

    static func ticket(at offset: Int64) -> Ticket {
        let index = (offset - ticketBase) / 2
        return Ticket(priority: Ticket.priorities.upperBound - Int(index / numbers), number: index % numbers)
    }

    /// All slots and everything ahead of a ticket. What lies between means nothing and is never locked.
    static func slotsAndAhead(of ticket: Ticket) -> Span {
        Span(start: slots.start, length: ticketBase + index(ticket) * 2 - slots.start)
    }

    /// Everything ahead of a ticket.
    static func ahead(of ticket: Ticket) -> Span {
        Span(start: ticketBase, length: index(ticket) * 2)
    }
}
