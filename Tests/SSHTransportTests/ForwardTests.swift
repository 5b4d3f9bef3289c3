import Foundation
import SemQueueTestSupport
import Testing

@testable import SSHTransport

/// Connections beyond the host.
@Suite struct ForwardTests {
    /// Answers what it is told, in capitals, until it hears no more.
    private static let shout: @Sendable (Int32) -> Void = { connection in
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(connection, &buffer, buffer.count)
            guard count > 0 else { break }
            let text = Array(String(decoding: buffer[..<count], as: UTF8.self).uppercased().utf8)
            _ = write(connection, text, text.count)
        }
        close(connection)
    }

    @Test func toAPort() throws {
        let (server, far) = (try LoopbackServer(), try FakeServer(Self.shout))
        let session = try server.connect()
        defer { session.close() }
        let ends = try Ends()
        let channel = try session.openDirectTCP(
            host: "127.0.0.1", port: far.port, input: ends.theirs, output: fcntl(ends.theirs, F_DUPFD_CLOEXEC, 3))
        #expect(try talk(over: ends) == "HELLO")
        #expect(channel.wait() == .exited(0))
    }

    @Test func toASocket() throws {
        let server = try LoopbackServer()
        let far = try FakeAgent(server.workshop, Self.shout)
        let session = try server.connect()
        defer { session.close() }
        let ends = try Ends()
        let channel = try session.openDirectSocket(
            path: far.path, input: ends.theirs, output: fcntl(ends.theirs, F_DUPFD_CLOEXEC, 3))
        #expect(try talk(over: ends) == "HELLO")
        #expect(channel.wait() == .exited(0))
    }

    /// Says something, stops talking, and listens on.
    private func talk(over ends: Ends) throws -> String {
        defer { close(ends.ours) }
        #expect(write(ends.ours, "hello", 5) == 5)
        shutdown(ends.ours, Int32(SHUT_WR))
        return String(decoding: ends.all(), as: UTF8.self)
    }

    @Test func toNobody() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        let port = try FakeServer { _ in }.port
        let error = try #require(throws: SSHError.self) {
            try session.openDirectTCP(host: "127.0.0.1", port: port, input: -1, output: -1)
        }
        #expect(error.kind == .refused)
        #expect(
            error.message == "lab (127.0.0.1:\(server.port)) can't connect on to 127.0.0.1 port \(port) "
                + "(Connection refused)")
        let path = server.workshop.path("nowhere")
        let other = try #require(throws: SSHError.self) {
            try session.openDirectSocket(path: path, input: -1, output: -1)
        }
        #expect(other.message.contains("can't connect on to the socket \(path)"))
        #expect(try session.run("echo fine").out == "fine\n")
    }

    @Test func whereItIsForbidden() throws {
        let (server, far) = (try LoopbackServer(["AllowTcpForwarding no"]), try FakeServer(Self.shout))
        let session = try server.connect()
        defer { session.close() }
        let error = try #require(throws: SSHError.self) {
            try session.openDirectTCP(host: "127.0.0.1", port: far.port, input: -1, output: -1)
        }
        #expect(error.kind == .refused)
        #expect(error.message.contains("(open failed)"))
    }
}
