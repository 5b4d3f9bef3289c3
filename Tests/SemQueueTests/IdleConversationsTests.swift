import Testing

@testable import SemQueue

@Suite struct IdleConversationsTests {
    private func conversation() throws -> Conversation {
        // Carried by a program that ends at once.
        let shell = RemoteShell.ssh(["true"], to: Address.Host(name: "bench"))
        return try Conversation(AgentCommand(shell: shell, command: "semq agent"), isAttended: false)
    }

    @Test func theOneKeptLastIsTakenFirstAndOnce() throws {
        var idle = IdleConversations()
        let (first, second) = (try conversation(), try conversation())
        idle.keep(first, limit: .seconds(30), at: .zero)
        idle.keep(second, limit: .seconds(30), at: .seconds(1))
        #expect(idle.take(at: .seconds(2)) === second)
        #expect(idle.take(at: .seconds(2)) === first)
        #expect(idle.take(at: .seconds(2)) == nil)
    }

    /// An agent leaves where no request comes; a request is on its way long before.
    @Test func noneIsUsedThatItsAgentMayHaveLeft() throws {
        var idle = IdleConversations()
        idle.keep(try conversation(), limit: .seconds(30), at: .zero)
        let fresh = try conversation()
        idle.keep(fresh, limit: .seconds(30), at: .seconds(10))
        #expect(idle.take(at: .seconds(20)) === fresh)
        #expect(idle.take(at: .seconds(20)) == nil)
        idle.keep(fresh, limit: .seconds(30), at: .seconds(10))
        let isEmpty = idle.isEmpty(at: .seconds(40))
        #expect(isEmpty)
    }

    @Test func thoseTooOldTakeNobodysPlace() throws {
        var idle = IdleConversations()
        for _ in 0..<10 { idle.keep(try conversation(), limit: .seconds(30), at: .zero) }
        for _ in 0..<4 { #expect(idle.take(at: .seconds(1)) != nil) }
        #expect(idle.take(at: .seconds(1)) == nil)
        for _ in 0..<10 { idle.keep(try conversation(), limit: .seconds(30), at: .zero) }
        let fresh = try conversation()
        idle.keep(fresh, limit: .seconds(30), at: .seconds(60))
        #expect(idle.take(at: .seconds(61)) === fresh)
    }
}
