import Testing

@testable import SemQueue

/// How long a client is asked whether it is still there, while others wait behind.
@Suite struct ReadinessTests {
    /// - Returns: after how many questions it was heard in time; nil: never.
    private func asked(roundTrip: Duration, lease: Duration) -> Int? {
        var readiness = Readiness(length: lease)
        var now = Duration.seconds(100)
        var answers: [(number: Int64, at: Duration)] = []
        for attempt in 1...8 {
            answers.append((readiness.ask(at: now), now + roundTrip))
            while now < readiness.end {
                now += .milliseconds(10)
                for answer in answers where answer.at <= now { readiness.answered(answer.number, at: now) }
                answers.removeAll { $0.at <= now }
                if readiness.isConfirmed { return attempt }
            }
            // Back in line with the next heartbeat, before the late answer or behind it.
            now += attempt % 2 == 0 ? .zero : lease / 15
        }
        return nil
    }

    @Test(arguments: [0, 10, 500, 990]) func aFastOneIsHeardAtOnce(milliseconds: Int64) {
        #expect(asked(roundTrip: .milliseconds(milliseconds), lease: .seconds(15)) == 1)
    }

    /// Until then it was put aside, and asked anew, for ever.
    @Test(arguments: [(1010, 5), (1200, 15), (1600, 15), (2600, 15), (4000, 30), (12_000, 60)])
    func aSlowOneIsHeardBeforeLong(milliseconds: Int64, lease: Int64) throws {
        let count = try #require(asked(roundTrip: .milliseconds(milliseconds), lease: .seconds(lease)))
        #expect(count <= 4, "\(count)")
    }

    @Test func whoIsFastAgainIsNotWaitedForAsLong() {
        var readiness = Readiness(length: .seconds(30))
        let first = readiness.ask(at: .seconds(1))
        readiness.answered(first, at: .seconds(5))
        #expect(readiness.patience == .milliseconds(6500))
        let second = readiness.ask(at: .seconds(10))
        readiness.answered(second, at: .milliseconds(10_100))
        #expect(readiness.isConfirmed && readiness.patience == .seconds(1))
    }

    /// Nobody is waited for, for longer than a third of its lease.
    @Test func aStallIsNoReasonToWaitForLong() {
        var readiness = Readiness(length: .seconds(15))
        let first = readiness.ask(at: .seconds(1))
        readiness.answered(first, at: .seconds(1000))
        _ = readiness.ask(at: .seconds(2000))
        #expect(readiness.end == .seconds(2005))
    }

    /// Neither an older answer nor one to what wasn't asked.
    @Test func onlyTheNewestAnswerCounts() {
        var readiness = Readiness(length: .seconds(15))
        #expect(!readiness.isConfirmed)
        readiness.answered(0, at: .zero)
        #expect(!readiness.isConfirmed)
        let first = readiness.ask(at: .zero)
        readiness.answered(first + 1, at: .seconds(1))
        readiness.answered(.max, at: .seconds(1))
        let second = readiness.ask(at: .seconds(2))
        readiness.answered(first, at: .seconds(2))
        #expect(!readiness.isConfirmed)
        readiness.answered(second, at: .seconds(2))
        #expect(readiness.isConfirmed)
    }
}
