import Glibc
import Testing

@testable import SemQueueCLI

/// What a guardian does next, as tables.
@Suite struct GuardStateTests {
    private typealias Step = (event: GuardState.Event, at: Duration, action: GuardState.Action)

    private func check(
        from state: GuardState = GuardState(), _ steps: [Step], location: SourceLocation = #_sourceLocation
    ) {
        var state = state
        for (index, step) in steps.enumerated() {
            #expect(state.handle(step.event, at: step.at) == step.action, "step \(index)", sourceLocation: location)
        }
    }

    // MARK: how long a turn lasts

    @Test func theTurnLastsUntilNobodyIsLeftOfTheCommand() {
        check([
            (.tick, .zero, .none), (.commandEnded, .seconds(1), .look), (.left(.work), .seconds(1), .none),
            (.tick, .seconds(2), .look), (.left(.work), .seconds(2), .none),
            (.tick, .seconds(3), .look), (.left(.nobody), .seconds(3), .finish),
        ])
        check([(.commandEnded, .zero, .look), (.left(.work), .zero, .none), (.treeEnded, .seconds(1), .finish)])
    }

    @Test func theEndOfTheCommandIsEnoughWhereThatIsAskedFor() {
        check(from: GuardState(until: .command), [(.commandEnded, .seconds(1), .finish)])
        check(
            from: GuardState(until: .command),
            [(.told(SIGTERM), .zero, .pass(SIGTERM)), (.commandEnded, .seconds(1), .finish)])
    }

    @Test func whoeverIsToldToEndLeavesNobodyBehind() {
        check(
            from: GuardState(grace: .seconds(3)),
            [
                (.told(SIGTERM), .zero, .pass(SIGTERM)), (.tick, .seconds(100), .none),
                (.commandEnded, .seconds(100), .terminateTree), (.tick, .seconds(102), .none),
                (.tick, .seconds(103), .killTree), (.treeEnded, .seconds(104), .finish),
            ])
        // A guardian that had passed it on was killed.
        check(from: GuardState(isToldToEnd: true), [(.commandEnded, .zero, .terminateTree)])
    }

    /// A SIGTERM to the whole group ends the command before its guardian hears of it from `semq`.
    @Test func daemonsAreLetAloneOnlyWhereSemqWasNotToldToEnd() {
        let begin: [Step] = [(.commandEnded, .zero, .look), (.left(.daemons), .zero, .ask)]
        check(begin + [(.answered, .milliseconds(1), .look), (.left(.daemons), .milliseconds(1), .finish)])
        check(
            begin + [
                (.told(SIGTERM), .milliseconds(1), .terminateTree), (.answered, .milliseconds(1), .none),
                (.left(.daemons), .milliseconds(2), .none), (.treeEnded, .milliseconds(3), .finish),
            ])
    }

    /// One that stands still doesn't keep the turn for ever.
    @Test func aSemqThatDoesNotAnswerIsNotWaitedForWithoutEnd() {
        check([
            (.commandEnded, .seconds(5), .look), (.left(.daemons), .seconds(5), .ask), (.tick, .seconds(5.5), .look),
            (.left(.daemons), .seconds(5.5), .none), (.tick, .seconds(6), .look),
            (.left(.daemons), .seconds(6), .finish),
        ])
    }

    @Test(arguments: [SIGINT, SIGQUIT, SIGUSR1, SIGALRM]) func noOtherSignalEndsWhatIsLeft(_ signal: Int32) {
        check([
            (.told(signal), .zero, .pass(signal)), (.commandEnded, .seconds(1), .look),
            (.left(.work), .seconds(1), .none),
        ])
    }

    @Test func aHangUpReachesWhatIsLeftAndEndsNobody() {
        check([
            (.told(SIGHUP), .zero, .pass(SIGHUP)), (.commandEnded, .seconds(1), .hangUp),
            (.left(.work), .seconds(1), .none),
            (.told(SIGHUP), .seconds(2), .hangUp), (.tick, .seconds(99), .look),
        ])
    }

    @Test(arguments: [SIGINT, SIGQUIT, SIGTERM]) func whatIsLeftIsEndedByASignal(_ signal: Int32) {
        check([
            (.commandEnded, .zero, .look), (.left(.work), .zero, .none), (.told(signal), .seconds(9), .terminateTree),
            (.tick, .seconds(13), .none), (.tick, .seconds(14), .killTree), (.tick, .seconds(15), .killTree),
            (.treeEnded, .seconds(15), .finish),
        ])
    }

    @Test func anyOtherSignalIsNotForWhatIsLeft() {
        check([(.commandEnded, .zero, .look), (.left(.work), .zero, .none), (.told(SIGUSR1), .seconds(1), .none)])
    }

    @Test func aLossEndsWhatIsLeftToo() {
        check([
            (.commandEnded, .zero, .look), (.left(.work), .zero, .none),
            (.lost(grace: .seconds(2)), .seconds(1), .terminateTree), (.left(.work), .seconds(2), .none),
            (.tick, .seconds(3), .killTree), (.treeEnded, .seconds(4), .finish),
        ])
    }

    // MARK: a permit that is gone

    @Test func aLossAsksTheTreeToEndAndKillsItAfterTheGrace() {
        check([
            (.lost(grace: .seconds(5)), .seconds(10), .terminateTree),
            (.tick, .seconds(14), .none),
            (.tick, .seconds(15), .killTree),
            (.tick, .seconds(16), .killTree),
            (.treeEnded, .seconds(17), .finish),
        ])
    }

    @Test func afterALossTheLastProcessCountsAndNotTheCommand() {
        check([
            (.lost(grace: .seconds(5)), .zero, .terminateTree),
            (.commandEnded, .seconds(1), .none),
            (.treeEnded, .seconds(2), .finish),
        ])
        check([
            (.lost(grace: .zero), .zero, .terminateTree),
            (.commandEnded, .seconds(1), .killTree),
            (.commandEnded, .seconds(1), .none),
            (.tick, .seconds(1), .killTree),
        ])
    }

    @Test func aLossIsNotTakenTwice() {
        check([
            (.lost(grace: .seconds(5)), .zero, .terminateTree),
            (.lost(grace: .seconds(60)), .seconds(1), .none),
            (.tick, .seconds(5), .killTree),
        ])
    }

    /// A lease that ends meanwhile doesn't wait for the grace that somebody gave.
    @Test func anotherLossCanOnlyLeaveLessTime() {
        check([
            (.lost(grace: .seconds(60)), .zero, .terminateTree),
            (.lost(grace: .seconds(5)), .seconds(1), .none),
            (.lost(grace: .seconds(60)), .seconds(2), .none),
            (.tick, .seconds(5), .none),
            (.tick, .seconds(6), .killTree),
        ])
        check([
            (.lost(grace: .seconds(60)), .zero, .terminateTree),
            (.lost(grace: .zero), .seconds(1), .killTree),
        ])
    }

    @Test func aCommandThatCleansUpIsToldWhatElseComes() {
        check([
            (.lost(grace: .seconds(5)), .zero, .terminateTree), (.told(SIGINT), .seconds(1), .pass(SIGINT)),
            (.tick, .seconds(5), .killTree), (.told(SIGINT), .seconds(6), .none),
        ])
    }

    // MARK: when to look again

    @Test func theGuardianWakesInTimeToKill() {
        var state = GuardState()
        #expect(state.nextTick(at: .zero) == .seconds(1))
        _ = state.handle(.lost(grace: .milliseconds(50)), at: .zero)
        #expect(state.nextTick(at: .milliseconds(20)) == .milliseconds(30))
        #expect(state.nextTick(at: .seconds(9)) == .milliseconds(1))
    }

    @Test func whoseEndIsNotHeardOfIsLookedForOften() {
        var state = GuardState()
        _ = state.handle(.commandEnded, at: .zero)
        #expect(state.nextTick(at: .seconds(1), hears: true) == .seconds(1))
        #expect(state.nextTick(at: .seconds(1), hears: false) == .milliseconds(200))
    }

    /// One that may not be killed by us may go on for hours.
    @Test func whoOutlivesTheKillIsKilledEverMoreRarely() {
        var state = GuardState()
        _ = state.handle(.lost(grace: .zero), at: .zero)
        #expect(state.handle(.tick, at: .seconds(10)) == .killTree)
        #expect(state.nextTick(at: .seconds(10)) == .milliseconds(20))
        #expect(state.nextTick(at: .seconds(11)) == .milliseconds(100))
        #expect(state.nextTick(at: .seconds(60)) == .seconds(1))
    }
}
