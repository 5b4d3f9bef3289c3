import Foundation
import SemQueueTestSupport
import Testing

@testable import SSHTransport

@Suite struct ScopeTests {
    @Test func aSessionAndAChannelHaveAnEnd() async throws {
        let server = try LoopbackServer()
        let output = try Scratch()
        let exit = try await withSession(to: SSHDestination(host: "lab"), options: server.options()) { session in
            try await session.withChannel("echo hello; exit 4", input: -1, output: output.copy(), error: -1) {
                channel in
                await channel.exit()
            }
        }
        #expect(exit == .exited(4))
        #expect(output.text == "hello\n")
        #expect(Event.happens { server.sessions.isEmpty })
    }

    @Test func anErrorInTheBodyClosesBoth() async throws {
        struct Reason: Error {}
        let server = try LoopbackServer()
        await #expect(throws: Reason.self) {
            try await withSession(to: SSHDestination(host: "lab"), options: server.options()) { session in
                try await session.withChannel("sleep 100", input: -1, output: -1, error: -1) { _ in throw Reason() }
            }
        }
        #expect(Event.happens { server.sessions.isEmpty })
    }

    @Test func aCancelledTaskLeavesItsCommandAndItsSession() async throws {
        let server = try LoopbackServer()
        let options = try server.options()
        let isRunning = Promise<Void>()
        let task = Task {
            try await withSession(to: SSHDestination(host: "lab"), options: options) { session in
                try await session.withChannel("sleep 100", input: -1, output: -1, error: -1) { channel in
                    isRunning.fulfill(())
                    return await channel.exit()
                }
            }
        }
        await isRunning.get()
        task.cancel()
        #expect(try await task.value == .unknown)
        #expect(Event.happens { server.sessions.isEmpty })
    }

    @Test func aCancelledTaskGivesUpItsConnect() async throws {
        let listener = try FakeServer { _ in }
        var configuration = SSHConfiguration(host: "a", hostName: "127.0.0.1", user: "u")
        configuration.port = listener.port
        var options = SSHOptions()
        options.configuration = configuration
        let given = options
        let task = Task {
            try await withSession(to: SSHDestination(host: "a"), options: given) { _ in }
        }
        task.cancel()
        let error = await #expect(throws: SSHError.self) { try await task.value }
        #expect(error?.kind == .cancelled)
    }

    @Test func aSilentPeerDoesNotHoldUpTheEnd() async throws {
        let server = try LoopbackServer()
        let options = try server.options()
        let sessions = try await withSession(to: SSHDestination(host: "lab"), options: options) { session in
            try await session.withChannel("sleep 100", input: -1, output: -1, error: -1) { channel in
                let sessions = server.sessions
                for pid in sessions { kill(pid, SIGSTOP) }
                return sessions
            }
        }
        // The scopes have ended while the peer stands still.
        #expect(!sessions.isEmpty && sessions.allSatisfy { kill($0, 0) == 0 })
        for pid in sessions { kill(pid, SIGCONT) }
    }

    @Test func aChannelCantBeOpenedAtASilentPeer() throws {
        let server = try LoopbackServer()
        let session = try server.connect { $0.limits.open = .milliseconds(300) }
        let stopped = server.sessions
        for pid in stopped { kill(pid, SIGSTOP) }
        let error = try #require(throws: SSHError.self) {
            try session.exec("true", input: -1, output: -1, error: -1)
        }
        #expect(error.kind == .lost)
        #expect(error.phase == .open)
        #expect(error.message.contains("stopped answering while opening a channel"))
        session.close()
        for pid in stopped { kill(pid, SIGCONT) }
    }
}
