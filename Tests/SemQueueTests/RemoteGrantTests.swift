import Testing

@testable import SemQueue

/// A permit on another host is lost by the clock alone: whoever runs something under it need not wait for the thread
/// that keeps it, which may hang, or for which there was no room.
@Suite struct RemoteGrantTests {
    /// One of which nothing was heard for so long, and which nobody keeps.
    private func grant(
        silentFor silence: Duration, warnsOnly: Bool = false, hasCommand: Bool = true, canResume: Bool = false
    ) throws -> RemoteGrant {
        guard case .remote(let address, let path) = try Address("lab@bench:board.queue") else { throw NotRemote() }
        // Carried by a program that ends at once.
        let agent = AgentCommand(shell: .ssh(["true"], to: address), command: "semq agent")
        var options = RemoteSemaphore.Options()
        (options.lease, options.warnsOnly, options.hasCommand) = (.seconds(20), warnsOnly, hasCommand)
        let semaphore = RemoteSemaphore(
            name: "lab@bench:board.queue", path: path, host: RemoteHost(name: "lab@bench", agent: agent),
            options: options)
        let session = LeasedConversation(
            try Conversation(agent, isAttended: false), agent: agent, length: options.lease,
            at: .sinceBoot() - silence)
        if canResume { session.identify(agent: "nobody", secret: "none") }
        let granted = Message(
            "granted", [("ticket", "1"), ("priority", "0"), ("slot", "0"), ("token", "1"), ("queue", "1")])
        return try #require(RemoteGrant(granted, semaphore, session))
    }

    private struct NotRemote: Error {}

    @Test func itStandsUntilSevenTenthsOfItsLease() throws {
        let fresh = try grant(silentFor: .zero)
        #expect(fresh.loss() == nil)
        #expect(try #require(fresh.killBy) - #require(fresh.standsUntil) == .seconds(2))
        // With room for a machine that is slow just now.
        #expect(try grant(silentFor: .seconds(10)).loss() == nil)
    }

    @Test func thenItIsLostWithWhatIsLeftForSIGTERM() throws {
        guard case .cutOff(let why, let grace) = try grant(silentFor: .milliseconds(14_001)).loss() else {
            Issue.record("it stands")
            return
        }
        #expect(why.hasPrefix("no answer from the host for 1"))
        #expect(grace < .seconds(2))
        guard case .cutOff(_, .zero) = try grant(silentFor: .seconds(16)).loss() else {
            Issue.record("something is left where all is to be killed")
            return
        }
    }

    @Test func whereTheLossIsOnlyAWarningNothingEnds() throws {
        let grant = try grant(silentFor: .seconds(100), warnsOnly: true)
        #expect(grant.loss() == nil && grant.standsUntil == nil && grant.killBy == nil)
    }

    /// It is for what runs already: under a turn that was lost before, as by a machine that slept, nothing begins.
    @Test(arguments: [false, true]) func nothingIsStartedUnderALostTurn(warnsOnly: Bool) throws {
        let fresh = try grant(silentFor: .zero, warnsOnly: warnsOnly)
        #expect(try #require(fresh.startsUntil) > .sinceBoot())
        let lost = try grant(silentFor: .milliseconds(14_001), warnsOnly: warnsOnly)
        #expect(try #require(lost.startsUntil) <= .sinceBoot())
    }

    // MARK: what people are told

    /// What is told of a connection that has ended, from which the lease can't be resumed.
    private func news(of grant: RemoteGrant) throws -> [String] {
        let told = Alarm()
        let end = ContinuousClock.now + .seconds(20)
        try grant.keep { told.nudge() }
        defer { grant.letAlone() }
        var news: [String] = []
        while ContinuousClock.now < end {
            // First: its last word is the loss.
            let isLost = if case .cutOff("the connection was lost", _) = grant.loss() { true } else { false }
            news += grant.news()
            if isLost || news.contains(where: { $0.contains("the lock is lost:") }) { return news }
            told.sleep(.milliseconds(100))
        }
        Issue.record("it isn't lost: \(news)")
        return news
    }

    @Test(arguments: [
        (false, true, "the command is ended in"), (false, false, "the lock is lost in"),
        (true, true, "the lock is lost in"),
    ])
    func aCutTellsHowLongItStands(warnsOnly: Bool, hasCommand: Bool, what: String) throws {
        let news = try news(of: grant(silentFor: .seconds(1), warnsOnly: warnsOnly, hasCommand: hasCommand))
        #expect(news.first?.hasPrefix("lab@bench:board.queue: the connection is lost; \(what) 1") == true, "\(news)")
        #expect(news.first?.hasSuffix(" s unless it is back") == true, "\(news)")
    }

    /// Found by a process that stood still meanwhile.
    @Test(arguments: [14_100, 17_000]) func nothingIsCountedDownThatIsPast(silence: Int64) throws {
        #expect(try news(of: grant(silentFor: .milliseconds(silence))) == [])
    }

    @Test func whoHoldsWithoutACommandIsWarnedToo() throws {
        let news = try news(of: grant(silentFor: .seconds(19), warnsOnly: true, hasCommand: false))
        let end = "the lock is lost: no connection for 20 s; what it is held for goes on, perhaps not alone"
        #expect(news == ["lab@bench:board.queue: \(end)"])
    }

    /// The connection is still tried for, and what is lost already isn't lost once more, by its release neither.
    @Test func aWarningIsGivenOnce() throws {
        let grant = try grant(silentFor: .seconds(19), warnsOnly: true, canResume: true)
        let first = try news(of: grant)
        #expect(first.count { $0.contains("the lock is lost: no connection for 20 s") } == 1, "\(first)")
        let told = Alarm()
        try grant.keep { told.nudge() }
        grant.release(mayBeDone: false)
        #expect(grant.news() == [])
        #expect(grant.loss() == nil)
    }

    // MARK: what can't be ended

    private static let work = "work (pid 812): another user's, and not to be ended from here"

    /// Nothing is said of the slot while all is still being ended.
    @Test func whatOutlivesALostTurnIsNamedOnce() throws {
        let grant = try grant(silentFor: .seconds(1))
        #expect(try !news(of: grant).contains { $0.contains("the turn is over there") })
        grant.remark(Self.work)
        grant.remark(Self.work)
        let end =
            "the turn is over there, and the next one may be in: the connection was lost; but not all has ended here"
        #expect(grant.news() == ["lab@bench:board.queue: \(end): \(Self.work)"])
    }

    /// A host that is away may have the slot yet.
    @Test func nothingIsSaidOfTheSlotWhileNobodyKnows() throws {
        let grant = try grant(silentFor: .seconds(30), canResume: true)
        guard case .cutOff = grant.loss() else {
            Issue.record("it stands")
            return
        }
        grant.remark(Self.work)
        #expect(grant.news() == [])
    }

    @Test func aTimeThatIsPastIsNoTime() {
        let times: [Duration] = [.milliseconds(-2600), .milliseconds(-99), .zero, .milliseconds(2650), .seconds(-1)]
        #expect(times.map(\.rounded) == ["0 s", "0 s", "0 s", "2.6 s", "0 s"])
    }
}
