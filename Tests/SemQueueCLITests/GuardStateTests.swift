import Testing

@testable import SemQueueCLI

/// What a guardian does next, as tables.
@Suite struct GuardStateTests {
    private typealias Step = (event: GuardState.Event, at: Duration, action: GuardState.Action)

    private func check(_ steps: [Step], location: SourceLocation = #_sourceLocation) {
        var state = GuardState()
        for (index, step) in steps.enumerated() {
            #expect(state.handle(step.event, at: step.at) == step.action, "step \(index)", sourceLocation: location)
        }
    }

    @Test func theEndOfTheCommandEndsTheTurnWhateverItLeftBehind() {
        check([(.tick, .zero, .none), (.commandEnded, .seconds(1), .finish)])
    }

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

    @Test func theGuardianWakesInTimeToKill() {
        var state = GuardState()
        #expect(state.nextTick(at: .zero) == .seconds(1))
        _ = state.handle(.lost(grace: .milliseconds(50)), at: .zero)
        #expect(state.nextTick(at: .milliseconds(20)) == .milliseconds(30))
        #expect(state.nextTick(at: .seconds(9)) == .milliseconds(1))
    }
}
