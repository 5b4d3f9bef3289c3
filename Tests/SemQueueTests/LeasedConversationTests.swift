import Glibc
import Testing

@testable import SemQueue

@Suite struct LeasedConversationTests {
    /// Answers each line that isn't a heartbeat with six hundred messages at once.
    private static let agent = #"""
        #!/bin/bash
        read -r greeting
        nonce=${greeting#*nonce=}
        echo "semq-agent nonce=${nonce%% *} version=1"
        burst=$(for number in {1..600}; do echo "place ahead=$number"; done)
        while read -r verb _; do [ "$verb" = beat ] || echo "$burst"; done

        """#

    /// What has come is handed on, and doesn't wait until something else comes: that would take two seconds a burst.
    @Test(.timeLimit(.minutes(1))) func aBurstIsHeardToItsEnd() throws {
        let folder = Folder()
        let program = try #require(fopen(folder.path("link"), "w"))
        fputs(Self.agent, program)
        fclose(program)
        let shell = RemoteShell.ssh(["bash", folder.path("link")], to: Address.Host(name: "bench"))
        let agent = AgentCommand(shell: shell, command: "semq agent")
        let conversation = try Conversation(agent, isAttended: false)
        let alarm = Alarm()
        try conversation.open(alarm, deadline: nil)
        let session = LeasedConversation(conversation, agent: agent, length: .seconds(60), at: .sinceBoot())
        defer { session.close() }
        for _ in 0..<60 {
            session.send(Message("burst"))
            for number in 1...600 {
                guard case .message(let message) = session.next(alarm, within: .seconds(10)) else {
                    Issue.record("message \(number) doesn't come")
                    return
                }
                try #require(message["ahead"] == "\(number)")
            }
        }
    }

    // MARK: after the lease

    /// One that can be resumed, of a lease of 20 s of which nothing was heard for so long; carried by a program that
    /// ends at once.
    private func session(silentFor silence: Duration, isHolding: Bool) throws -> LeasedConversation {
        let agent = AgentCommand(shell: .ssh(["true"], to: Address.Host(name: "bench")), command: "semq agent")
        let session = LeasedConversation(
            try Conversation(agent, isAttended: false), agent: agent, length: .seconds(20), at: .sinceBoot() - silence)
        session.identify(agent: "nobody", secret: "none")
        if isHolding { session.hold() }
        return session
    }

    /// What happens in a row, until nothing does.
    private func events(_ session: LeasedConversation) -> [String] {
        let alarm = Alarm()
        var events: [String] = []
        while events.count < 10, let event = session.next(alarm, within: events.isEmpty ? .seconds(10) : .zero) {
            switch event {
            case .cut: events.append("cut")
            case .ended: return events + ["ended"]
            case .message, .resumed: events.append("?")
            }
        }
        return events
    }

    /// Its agent may have heard of it later than it knows. A waiter has nothing that goes on.
    @Test(arguments: [18_700, 100_000, 3_600_000]) func aHolderIsNotGivenUpWhenItsLeaseIsOver(silence: Int64) throws {
        let holder = try session(silentFor: .milliseconds(silence), isHolding: true)
        defer { holder.close() }
        #expect(events(holder) == ["cut"])
        let waiter = try session(silentFor: .milliseconds(silence), isHolding: false)
        defer { waiter.close() }
        #expect(events(waiter).last == "ended")
    }

    /// What is to be done next lies ahead, by the pause between attempts to connect.
    @Test(arguments: [18_700, 100_000, 3_600_000]) func thereIsNoBusyLoopWhenTheLeaseIsOver(silence: Int64) throws {
        let holder = try session(silentFor: .milliseconds(silence), isHolding: true)
        defer { holder.close() }
        let before = Duration.sinceBoot()
        #expect(events(holder) == ["cut"])
        #expect(holder.isCut)
        #expect(holder.wakeTime(before) - before >= ClientLease.shortestPause)
    }

    /// Nobody waits for a host that is away when all has ended here.
    @Test func thereIsNoLongFarewellWhenTheLeaseIsOver() throws {
        let holder = try session(silentFor: .seconds(19), isHolding: true)
        #expect(events(holder) == ["cut"])
        let before = ContinuousClock.now
        #expect(!holder.farewell(within: .seconds(3600)).isHeard)
        #expect(ContinuousClock.now - before < .seconds(60))
    }
}
