import Testing

@testable import SemQueue

/// A permit on another host is lost by the clock alone: whoever runs something under it need not wait for the thread
/// that keeps it, which may hang, or for which there was no room.
@Suite struct RemoteGrantTests {
    /// One of which nothing was heard for so long, and which nobody keeps.
    private func grant(silentFor silence: Duration, warnsOnly: Bool = false) throws -> RemoteGrant {
        guard case .remote(let address, let path) = try Address("lab@bench:board.queue") else { throw NotRemote() }
        // Carried by a program that ends at once.
        let agent = AgentCommand(shell: .ssh(["true"], to: address), command: "semq agent")
        var options = RemoteSemaphore.Options()
        (options.lease, options.warnsOnly) = (.seconds(20), warnsOnly)
        let semaphore = RemoteSemaphore(
            name: "lab@bench:board.queue", path: path, host: RemoteHost(name: "lab@bench", agent: agent),
            options: options)
        let session = LeasedConversation(
            try Conversation(agent, isAttended: false), agent: agent, length: options.lease,
            at: .sinceBoot() - silence)
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
}
