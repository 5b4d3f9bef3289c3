import Testing

@testable import SemQueue

/// Offsets mean what they say, and no two meanings share a byte.
@Suite struct LockSpaceTests {
    private let tickets = [
        Ticket(priority: 1000, number: 1), Ticket(priority: 0, number: 1), Ticket(priority: 0, number: 2),
        Ticket(priority: -1000, number: 1), Ticket(priority: -1000, number: (1 << 40) - 1),
    ]

    @Test func aTicketIsReadBackFromItsOffset() {
        for ticket in tickets { #expect(LockSpace.ticket(at: LockSpace.place(ticket).start) == ticket) }
    }

    @Test func offsetsRiseInTheOrderOfService() {
        for (earlier, later) in zip(tickets, tickets.dropFirst()) {
            #expect(earlier < later)
            #expect(LockSpace.member(earlier).end <= LockSpace.place(later).start)
            #expect(LockSpace.ahead(of: later).end == LockSpace.place(later).start)
        }
    }

    @Test func regionsLieApart() {
        let proofs = [0, (1 << (4 * UInt64(LockSpace.proofDigits))) - 1].map(LockSpace.proof)
        let regions = [
            LockSpace.Span(start: proofs[0].start, length: proofs[1].end - proofs[0].start), LockSpace.nestedLines,
            LockSpace.probes, LockSpace.mutex, LockSpace.probe, LockSpace.slots, LockSpace.tickets,
            LockSpace.Span(
                start: LockSpace.nested(tickets[0]).start,
                length: LockSpace.nested(tickets[4]).end - LockSpace.nested(tickets[0]).start),
        ]
        for (one, next) in zip(regions, regions.dropFirst()) { #expect(one.end <= next.start) }
        #expect(regions.last!.end > 0)
    }

    @Test func aSlotIsReadBackFromBothItsBytes() {
        for slot in [0, 1, 1023] {
            #expect(LockSpace.slot(at: LockSpace.hold(slot).start) == slot)
            #expect(LockSpace.slot(at: LockSpace.doorbell(slot).start) == slot)
        }
    }
}
