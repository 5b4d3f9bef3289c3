import Testing

@testable import SemQueue

/// What a waiter does, given what it sees.
@Suite struct TurnTests {
    private let first = Ticket(priority: 0, number: 1)
    private let second = Ticket(priority: 0, number: 2)
    private let third = Ticket(priority: 0, number: 3)

    private func sight(
        held: [Int] = [], of concurrency: Int = 1, ahead: [Ticket] = [], paused: Bool = false, token: Int64 = 100,
        kept: [Int] = [], keptFor: Duration? = nil, isHeldOff: Bool = false, isFarBack: Bool = false
    ) -> Turn.Sight {
        Turn.Sight(
            concurrency: concurrency, paused: paused, held: held, ahead: ahead, lastToken: token, kept: kept,
            isHeldOff: isHeldOff, keptFor: keptFor, isFarBack: isFarBack)
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

    /// Far back, a slot that is free for a moment is no reason to ask who is ahead; one that stays free is.
    @Test func thoseFarBackAskOnlyWhereASlotStaysFree() {
        func behind(_ seconds: Int) -> Turn.Action { .waitBehind(third, lookAfter: .seconds(seconds)) }
        var turn = Turn()
        func glance(_ hasRoom: Bool, _ token: Int64, isFarBack: Bool = true) -> Turn.Action? {
            turn.glance(behind: third, hasRoom: hasRoom, lastToken: token, isFarBack: isFarBack)
        }
        #expect(turn.look(sight(held: [0], ahead: [third], token: 99, isFarBack: true), at: .zero) == behind(15))
        #expect(glance(true, 100) == behind(5))
        #expect(glance(true, 101) == behind(5))
        #expect(glance(false, 101) == behind(15))
        #expect(glance(true, 102) == behind(5))
        #expect(glance(true, 102) == nil)
        // Where nobody was granted since a slot was held, it may stand still as well.
        #expect(glance(false, 102) == behind(15))
        #expect(glance(true, 102) == nil)
        // Those near the head ask at once: it is they who go past one that stands still.
        #expect(glance(false, 102, isFarBack: false) == behind(1))
        #expect(!turn.isFarBack)
        #expect(glance(true, 103, isFarBack: false) == nil)
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

    /// Looks each second for a while, after a first look.
    /// - Returns: what the last look decides.
    private func look(_ turn: inout Turn, _ sight: Turn.Sight, from start: Int, to end: Int) -> Turn.Action {
        for second in start..<end { _ = turn.look(sight, at: .seconds(second)) }
        return turn.look(sight, at: .seconds(end))
    }

    private func behind(_ ticket: Ticket) -> Turn.Action { .waitBehind(ticket, lookAfter: .seconds(1)) }

    @Test func whileSlotsAreKeptNobodyAheadStandsStill() {
        var turn = Turn()
        _ = turn.look(sight(ahead: [first]), at: .zero)
        _ = turn.look(sight(ahead: [first], kept: [0], keptFor: .seconds(60)), at: .seconds(1))
        #expect(look(&turn, sight(ahead: [first]), from: 60, to: 64) == behind(first))
        #expect(turn.look(sight(ahead: [first]), at: .seconds(65)) == .claim(slot: 0))
    }

    @Test func othersSleepBehindTheNearestAhead() {
        var turn = Turn()
        #expect(turn.look(sight(held: [0], ahead: [second]), at: .zero) == .waitBehind(second, lookAfter: .seconds(1)))
        #expect(
            turn.look(sight(held: [0], ahead: [second], isFarBack: true), at: .zero)
                == .waitBehind(second, lookAfter: .seconds(15)))
    }

    @Test func aHeadThatStandsStillIsPassedAfterFiveSeconds() {
        var turn = Turn()
        let free = sight(ahead: [first])
        #expect(look(&turn, free, from: 10, to: 14) == behind(first))
        #expect(turn.look(free, at: .milliseconds(14_999)) == behind(first))
        #expect(turn.look(free, at: .seconds(15)) == .claim(slot: 0))
    }

    @Test func whoeverStandsFurtherBackLeavesTheOthersTwoSecondsEach() {
        var turn = Turn()
        let free = sight(ahead: [third, second, first])
        #expect(look(&turn, free, from: 0, to: 8) == behind(third))
        #expect(turn.look(free, at: .seconds(9)) == .claim(slot: 0))
    }

    /// The time that went by while somebody else stood in its way is not counted against it.
    @Test func whoHasBecomeTheHeadHasAllTheTimeOfAHead() {
        var turn = Turn()
        #expect(look(&turn, sight(ahead: [third, second, first]), from: 0, to: 8) == behind(third))
        // The second has gone past the first, and is done. It is the third's turn, which is about to wake.
        let next = sight(ahead: [third], token: 101)
        #expect(look(&turn, next, from: 9, to: 11) == behind(third))
        // Neither does the time count in which two heads left without a grant.
        var other = Turn()
        _ = other.look(sight(ahead: [second, first]), at: .zero)
        _ = other.look(sight(ahead: [second, first]), at: .milliseconds(900))
        #expect(look(&other, sight(ahead: [second]), from: 1, to: 5) == behind(second))
        #expect(other.look(sight(ahead: [second]), at: .seconds(6)) == .claim(slot: 0))
    }

    @Test func somebodyUrgentAheadOfAHeadThatStandsStillHasItsOwnTime() {
        var turn = Turn()
        let urgent = Ticket(priority: 10, number: 3)
        _ = look(&turn, sight(ahead: [first]), from: 0, to: 4)
        #expect(look(&turn, sight(ahead: [first, urgent]), from: 5, to: 9) == behind(first))
        // Granted, and done: the first goes on where it was.
        #expect(turn.look(sight(ahead: [first], token: 101), at: .seconds(20)) == behind(first))
        #expect(turn.look(sight(ahead: [first], token: 101), at: .seconds(21)) == .claim(slot: 0))
    }

    @Test func whoLooksLateStoodStillItselfPerhapsWithAllTheOthers() {
        var turn = Turn()
        _ = turn.look(sight(ahead: [first]), at: .zero)
        #expect(look(&turn, sight(ahead: [first]), from: 600, to: 603) == behind(first))
        #expect(turn.look(sight(ahead: [first]), at: .seconds(604)) == .claim(slot: 0))
    }

    @Test func whatAGrantTookAwayDoesNotCountAndDoesNotStartThePatienceAnew() {
        var turn = Turn()
        _ = look(&turn, sight(ahead: [first], token: 100), from: 0, to: 2)
        // Somebody urgent was granted in between: how long the slot was free is not known.
        #expect(look(&turn, sight(ahead: [first], token: 101), from: 3, to: 5) == behind(first))
        #expect(turn.look(sight(ahead: [first], token: 102), at: .seconds(6)) == behind(first))
        #expect(turn.look(sight(ahead: [first], token: 102), at: .seconds(7)) == .claim(slot: 0))
    }

    @Test func fullHoursDoNotCountAndDoNotStartThePatienceAnew() {
        var turn = Turn()
        _ = look(&turn, sight(ahead: [first]), from: 0, to: 3)
        _ = turn.look(sight(held: [0], ahead: [first]), at: .seconds(4))
        #expect(look(&turn, sight(ahead: [first]), from: 60, to: 61) == behind(first))
        #expect(turn.look(sight(ahead: [first]), at: .seconds(62)) == .claim(slot: 0))
    }

    @Test func anotherOneAheadHasPatienceOfItsOwn() {
        var turn = Turn()
        _ = look(&turn, sight(ahead: [first]), from: 0, to: 4)
        #expect(look(&turn, sight(ahead: [second]), from: 8, to: 12) == behind(second))
        #expect(turn.look(sight(ahead: [second]), at: .seconds(13)) == .claim(slot: 0))
    }

    /// Who comes between begins to count the head's time only then, and is not passed before it could go itself.
    @Test func whoComesLaterHasTheTimeThatItCountsAnew() {
        let head = Ticket(priority: 10, number: 1)
        let between = Ticket(priority: 5, number: 9)
        var (behind, later) = (Turn(), Turn())
        _ = look(&behind, sight(ahead: [head]), from: 0, to: 3)
        var passed: (behind: Int?, between: Int?) = (nil, nil)
        for second in 4...30 {
            if later.look(sight(ahead: [head]), at: .seconds(second)).isClaim {
                passed.between = passed.between ?? second
            }
            if behind.look(sight(ahead: [between, head]), at: .seconds(second)).isClaim {
                passed.behind = passed.behind ?? second
            }
        }
        #expect(passed.between == 9)
        // Two seconds for one that stands still as well.
        #expect(passed.behind == 11)
    }

    @Test func thoseWhoComeAndLeaveAgainHoldUpNobody() {
        var turn = Turn()
        _ = look(&turn, sight(ahead: [first]), from: 0, to: 2)
        for second in 3...4 {
            let visitor = Ticket(priority: -1, number: Int64(second))
            #expect(turn.look(sight(ahead: [visitor, first]), at: .seconds(second)) == behind(visitor))
        }
        #expect(turn.look(sight(ahead: [first]), at: .seconds(5)) == .claim(slot: 0))
    }

    @Test func higherPriorityStandsAhead() {
        let urgent = Ticket(priority: 10, number: 900)
        #expect(urgent < first)
        #expect(first < second)
        #expect(LockSpace.place(urgent).start < LockSpace.place(first).start)
        #expect(LockSpace.place(first).start < LockSpace.place(second).start)
    }
}
