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
}
