import Testing

@testable import SemQueue

/// When a cut-off client's command must be dead, and how long a cut is survived. Time is passed in.
@Suite struct ClientLeaseTests {
    private let delay = Duration.milliseconds(20)

    /// A holder whose heartbeats are all answered until the network is cut.
    private func holder(_ length: Duration, cutAt cut: Duration) -> ClientLease {
        var lease = ClientLease(length: length, at: .zero)
        lease.isHolding = true
        while lease.nextBeat + delay < cut {
            let number = lease.beat(at: lease.nextBeat)
            lease.answered(number)
        }
        return lease
    }

    private static let lengths: [Duration] = [.seconds(5), .seconds(15), .seconds(60)]
    private static let cuts: [Duration] = (0..<200).map { .milliseconds(100_000 + 37 * $0) }

    @Test(arguments: lengths) func aCutOfSixTenthsOfTheLeaseEndsNoCommand(_ length: Duration) {
        for cut in Self.cuts {
            #expect(holder(length, cutAt: cut).start(of: .ending) - cut > length * 6 / 10, "cut at \(cut)")
        }
    }

    /// Whatever the heartbeats' delay on their way: the agent counts from when it received one.
    @Test(arguments: lengths) func theAgentsLeaseEndsLaterThanTheClients(_ length: Duration) {
        for cut in Self.cuts {
            let lease = holder(length, cutAt: cut)
            let agent = AgentLease(length: length, at: lease.proven)
            #expect(agent.end - lease.start(of: .over) >= length * 7 / 100)
        }
    }

    @Test func thePhasesFollowEachOther() {
        let lease = ClientLease(length: .seconds(10), at: .seconds(100))
        func phase(_ milliseconds: Int) -> ClientLease.Phase { lease.phase(at: .milliseconds(100_000 + milliseconds)) }
        #expect([0, 3299].allSatisfy { phase($0) == .sound })
        #expect([3300, 6999].allSatisfy { phase($0) == .doubtful })
        #expect([7000, 7999].allSatisfy { phase($0) == .ending })
        #expect([8000, 9299].allSatisfy { phase($0) == .killing })
        #expect([9300, 1 << 40].allSatisfy { phase($0) == .over })
        #expect(lease.nextChange(at: .seconds(100)) == .milliseconds(103_300))
        #expect(lease.nextChange(at: .seconds(107)) == .seconds(108))
    }

    /// It proves that the agent was there when the heartbeat was sent, not when the answer came.
    @Test func anAnswerCountsFromWhenItsHeartbeatWasSent() {
        var lease = ClientLease(length: .seconds(10), at: .zero)
        let first = lease.beat(at: .seconds(2))
        let second = lease.beat(at: .seconds(4))
        let isNews = [second, first, second, 99].map { lease.answered($0) }
        #expect(isNews == [true, false, false, false])
        #expect(lease.proven == .seconds(4))
    }

    @Test func aWaiterIsHeardOfLessOften() {
        var lease = ClientLease(length: .seconds(15), at: .zero)
        #expect(lease.nextBeat == .seconds(3))
        lease.isHolding = true
        #expect(lease.nextBeat == .seconds(1))
    }

    // MARK: new connections

    /// A holder is in a hurry until its lease is over; what outlives that may do so for hours.
    @Test func whoOutlivesTheLeaseTriesLessAndLessOften() {
        var lease = ClientLease(length: .seconds(15), at: .zero)
        lease.isHolding = true
        func pause(_ seconds: Double) -> Duration { lease.pause(at: .seconds(seconds), tried: 3) }
        #expect(pause(1) == .milliseconds(300) && pause(13.9) == .milliseconds(300))
        #expect(pause(14) == .milliseconds(700) && pause(60) == .seconds(3))
        #expect(pause(200) == .seconds(10) && pause(1e6) == .seconds(10))
        lease.answered(at: .seconds(1e6))
        #expect(pause(1e6) == .milliseconds(300))
    }

    @Test func waitersLeaveTheHostToHolders() {
        let lease = ClientLease(length: .seconds(15), at: .zero)
        #expect(lease.pause(at: .zero, tried: 0) == .milliseconds(750))
        #expect(lease.pause(at: .zero, tried: 7) == .seconds(6))
    }
}
