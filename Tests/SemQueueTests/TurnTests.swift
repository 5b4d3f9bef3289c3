import Testing

@testable import SemQueue

/// What a waiter does, given what it sees.
@Suite struct TurnTests {
    private let first = Ticket(priority: 0, number: 1)
    private let second = Ticket(priority: 0, number: 2)

    private func sight(
        held: [Int] = [], of concurrency: Int = 1, ahead: [Ticket] = [], paused: Bool = false, token: Int64 = 100,
        kept: [Int] = [], keptFor: Duration? = nil, isHeldOff: Bool = false
    ) -> Turn.Sight {
        Turn.Sight(
            concurrency: concurrency, paused: paused, held: held, ahead: ahead, lastToken: token, kept: kept,
            isHeldOff: isHeldOff, keptFor: keptFor)
    }

    @Test func theHeadTakesTheLowestFreeSlot() {
        let cases: [(Turn.Sight, Turn.Action)] = [
            (sight(), .claim(slot: 0)),
            (sight(held: [0], of: 2), .claim(slot: 1)),
            (sight(held: [0, 2], of: 3), .claim(slot: 1)),
            (sight(held: [5], of: 2), .claim(slot: 0)),
        ]
        for (sight, action) in cases {
            var turn = Turn()
            #expect(turn.look(sight, at: .zero) == action)
        }
    }

    @Test func theHeadWaitsForTheSlotsThatAreHeld() {
        for held in [[0], [0, 1], [0, 1, 5]] {
            var turn = Turn()
            #expect(
                turn.look(sight(held: held, of: min(2, held.count)), at: .zero)
                    == .waitForSlot(held, lookAfter: .milliseconds(250)))
        }
    }

    @Test func aLoweredConcurrencyDrainsFirst() {
        var turn = Turn()
        // Three hold what two may: slots beyond the lowered number count like the others.
        #expect(
            turn.look(sight(held: [0, 1, 2], of: 2), at: .zero)
                == .waitForSlot([0, 1, 2], lookAfter: .milliseconds(250)))
        #expect(
            turn.look(sight(held: [1, 2], of: 2), at: .zero) == .waitForSlot([1, 2], lookAfter: .milliseconds(250)))
        #expect(turn.look(sight(held: [2], of: 2), at: .zero) == .claim(slot: 0))
    }

    @Test func nobodyTakesASlotOfAPausedQueue() {
        var turn = Turn()
        #expect(turn.look(sight(paused: true), at: .zero) == .waitForSlot([], lookAfter: .milliseconds(250)))
        #expect(
            turn.look(sight(ahead: [first], paused: true), at: .seconds(60))
                == .waitBehind(first, lookAfter: .seconds(1)))
    }

    @Test func aSlotThatIsKeptCountsAsHeldAndIsNobodys() {
        let cases: [(Turn.Sight, Turn.Action)] = [
            (sight(kept: [0], keptFor: .seconds(9)), .waitForSlot([], lookAfter: .milliseconds(250))),
            (sight(kept: [0], keptFor: .milliseconds(20)), .waitForSlot([], lookAfter: .milliseconds(20))),
            (sight(of: 2, kept: [0], keptFor: .seconds(9)), .claim(slot: 1)),
            (sight(held: [1], of: 3, kept: [0], keptFor: .seconds(9)), .claim(slot: 2)),
            (
                sight(held: [0], of: 2, kept: [1], keptFor: .milliseconds(3)),
                .waitForSlot([0], lookAfter: .milliseconds(3))
            ),
            // Beyond a lowered concurrency too.
            (sight(of: 1, kept: [4], keptFor: .seconds(9)), .waitForSlot([], lookAfter: .milliseconds(250))),
            (
                sight(ahead: [first], kept: [0], keptFor: .milliseconds(20)),
                .waitBehind(first, lookAfter: .seconds(1))
            ),
        ]
        for (sight, action) in cases {
            var turn = Turn()
            #expect(turn.look(sight, at: .zero) == action)
        }
    }

    @Test func nobodyTakesASlotWhileTheQueueHoldsOff() {
        var turn = Turn()
        let free = sight(of: 3, keptFor: .milliseconds(40), isHeldOff: true)
        #expect(turn.look(free, at: .zero) == .waitForSlot([], lookAfter: .milliseconds(40)))
        #expect(
            turn.look(sight(of: 3, ahead: [first], keptFor: .milliseconds(40), isHeldOff: true), at: .seconds(60))
                == .waitBehind(first, lookAfter: .seconds(1)))
    }

    @Test func whileSlotsAreKeptNobodyAheadStandsStill() {
        var turn = Turn()
        _ = turn.look(sight(ahead: [first]), at: .zero)
        _ = turn.look(sight(ahead: [first], kept: [0], keptFor: .seconds(60)), at: .seconds(1))
        _ = turn.look(sight(ahead: [first]), at: .seconds(60))
        #expect(turn.look(sight(ahead: [first]), at: .seconds(64)) == .waitBehind(first, lookAfter: .seconds(1)))
        #expect(turn.look(sight(ahead: [first]), at: .seconds(65)) == .claim(slot: 0))
    }

    @Test func othersSleepBehindTheNearestAhead() {
        var turn = Turn()
        #expect(turn.look(sight(held: [0], ahead: [second]), at: .zero) == .waitBehind(second, lookAfter: .seconds(1)))
        #expect(
            turn.look(sight(held: [0], ahead: [second, first]), at: .zero)
                == .waitBehind(second, lookAfter: .seconds(5)))
    }

    @Test func aHeadThatStandsStillIsPassedAfterFiveSeconds() {
        var turn = Turn()
        let free = sight(ahead: [first])
        #expect(turn.look(free, at: .seconds(10)) == .waitBehind(first, lookAfter: .seconds(1)))
        #expect(turn.look(free, at: .milliseconds(14_999)) == .waitBehind(first, lookAfter: .seconds(1)))
        #expect(turn.look(free, at: .seconds(15)) == .claim(slot: 0))
    }

    @Test func whoeverStandsFurtherBackLeavesTheOthersASecondEach() {
        var turn = Turn()
        let free = sight(ahead: [second, first])
        #expect(turn.look(free, at: .zero) == .waitBehind(second, lookAfter: .seconds(1)))
        #expect(turn.look(free, at: .milliseconds(5_999)) == .waitBehind(second, lookAfter: .seconds(1)))
        #expect(turn.look(free, at: .seconds(6)) == .claim(slot: 0))
    }

    @Test func whatAGrantTookAwayDoesNotCountAndDoesNotStartThePatienceAnew() {
        var turn = Turn()
        _ = turn.look(sight(ahead: [first], token: 100), at: .zero)
        // Somebody urgent was granted in between: how long the slot was free is not known.
        #expect(
            turn.look(sight(ahead: [first], token: 101), at: .seconds(6)) == .waitBehind(first, lookAfter: .seconds(1)))
        #expect(
            turn.look(sight(ahead: [first], token: 101), at: .seconds(9)) == .waitBehind(first, lookAfter: .seconds(1)))
        #expect(
            turn.look(sight(ahead: [first], token: 102), at: .seconds(10)) == .waitBehind(first, lookAfter: .seconds(1))
        )
        #expect(turn.look(sight(ahead: [first], token: 102), at: .seconds(12)) == .claim(slot: 0))
    }

    @Test func fullHoursDoNotCountAndDoNotStartThePatienceAnew() {
        var turn = Turn()
        _ = turn.look(sight(ahead: [first]), at: .zero)
        _ = turn.look(sight(ahead: [first]), at: .seconds(3))
        _ = turn.look(sight(held: [0], ahead: [first]), at: .seconds(4))
        _ = turn.look(sight(ahead: [first]), at: .seconds(60))
        #expect(turn.look(sight(ahead: [first]), at: .seconds(61)) == .waitBehind(first, lookAfter: .seconds(1)))
        #expect(turn.look(sight(ahead: [first]), at: .seconds(62)) == .claim(slot: 0))
    }

    @Test func anotherOneAheadHasPatienceOfItsOwn() {
        var turn = Turn()
        _ = turn.look(sight(ahead: [first]), at: .zero)
        _ = turn.look(sight(ahead: [first]), at: .seconds(4))
        #expect(turn.look(sight(ahead: [second]), at: .seconds(8)) == .waitBehind(second, lookAfter: .seconds(1)))
        #expect(turn.look(sight(ahead: [second]), at: .seconds(12)) == .waitBehind(second, lookAfter: .seconds(1)))
        #expect(turn.look(sight(ahead: [second]), at: .seconds(13)) == .claim(slot: 0))
    }

    @Test func higherPriorityStandsAhead() {
        let urgent = Ticket(priority: 10, number: 900)
        #expect(urgent < first)
        #expect(first < second)
        #expect(LockSpace.place(urgent).start < LockSpace.place(first).start)
        #expect(LockSpace.place(first).start < LockSpace.place(second).start)
    }
}
