import Foundation
import SemQueueTestSupport
import Testing

@testable import SSHTransport

/// What a server can do wrong before a session is there: each ends in time, and is told by phase.
@Suite struct PhaseTests {
    @Test func aPortWhereNobodyListens() throws {
        let port = try FakeServer { _ in }.port
        let error = try failure(port)
        #expect(error.kind == .unreachable)
        #expect(error.phase == .connect)
        #expect(
            error.message
                == "can't connect to 127.0.0.1:\(port): Connection refused; does an SSH server run there, and is "
                + "\(port) its port?")
    }

    @Test func aHostThatDoesNotAnswer() throws {
        // A listener that accepts nobody and has no room left lets further ones wait.
        let listener = try FullListener()
        let error = try failure(listener.port) { $0.limits.connect = .milliseconds(200) }
        #expect(error.kind == .timedOut)
        #expect(error.phase == .connect)
        #expect(
            error.message == "no connection to 127.0.0.1:\(listener.port) within 0.2 seconds: no "
                + "answer; is the host up, and does a firewall let it through?")
    }

    @Test func aNameThatNobodyKnows() throws {
        let error = try #require(throws: SSHError.self) {
            var options = SSHOptions()
            options.configuration = SSHConfiguration(host: "a", hostName: "no-such-host.invalid", user: "u")
            try SSHSession.connect(to: SSHDestination(host: "a"), options: options).close()
        }
        #expect(error.phase == .resolve)
        // Where there is an ssh, it may know it.
        #expect([.unsupported, .timedOut].contains(error.kind))
        #expect(error.message.contains("no-such-host.invalid"))
    }

    @Test func aServerThatSaysNothing() throws {
        let server = try FakeServer { _ in }
        let error = try failure(server.port, isTimed: true)
        #expect(error.kind == .timedOut)
        #expect(error.phase == .banner)
        #expect(
            error.message == "127.0.0.1:\(server.port) accepts connections but does not say that it is an SSH server: "
                + "is it the right port, or is the server overloaded?")
    }

    @Test func aServerThatHangsUp() throws {
        let server = try FakeServer { close($0) }
        let error = try failure(server.port)
        #expect(error.kind == .unreachable)
        #expect(error.phase == .banner)
        #expect(error.message.contains("closed the connection before it said who it is"))
        #expect(error.message.contains("MaxStartups"))
    }

    @Test func aServerThatSpeaksSomethingElse() throws {
        let server = try FakeServer { connection in
            let text = Array("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".utf8)
            _ = write(connection, text, text.count)
        }
        let error = try failure(server.port, isTimed: true)
        #expect(error.phase == .banner)
    }

    @Test func aServerThatNeverGetsToThePoint() throws {
        // Lines before the banner are allowed, without end.
        let server = try FakeServer { connection in
            let line = Array("patience\r\n".utf8)
            while send(connection, line, line.count, Int32(MSG_NOSIGNAL)) > 0 {}
            close(connection)
        }
        let began = ContinuousClock.now
        let error = try failure(server.port, isTimed: true)
        #expect(error.kind == .timedOut)
        #expect(error.phase == .banner)
        #expect(ContinuousClock.now - began < .seconds(10))
    }

    @Test func aServerThatDripsItsBanner() throws {
        let server = try FakeServer { connection in
            for byte in Array("SSH-2.0-Slow\(String(repeating: "w", count: 200))\r\n".utf8) {
                usleep(50_000)
                guard send(connection, [byte], 1, Int32(MSG_NOSIGNAL)) == 1 else { break }
            }
            close(connection)
        }
        let error = try failure(server.port, isTimed: true)
        #expect(error.kind == .timedOut)
        #expect(error.phase == .banner)
    }

    @Test(arguments: [1, 100, 10_000, 1_000_000]) func randomBytes(_ count: Int) throws {
        for head in ["", "SSH-2.0-Random\r\n"] {
            let server = try FakeServer { connection in
                var bytes = Array(head.utf8)
                for _ in 0..<count { bytes.append(.random(in: 0...255)) }
                var rest = bytes[...]
                while !rest.isEmpty {
                    let sent = rest.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                    if sent <= 0 { break }
                    rest = rest.dropFirst(sent)
                }
                close(connection)
            }
            let error = try failure(server.port)
            #expect([.banner, .keyExchange].contains(error.phase))
        }
    }

    @Test func aMessageOfGigabytes() throws {
        let server = try FakeServer { connection in
            let bytes = Array("SSH-2.0-Huge\r\n".utf8) + [0x7f, 0xff, 0xff, 0xff, 4, 20]
            _ = write(connection, bytes, bytes.count)
        }
        let error = try failure(server.port)
        #expect(error.kind == .unreachable)
        #expect(error.phase == .keyExchange)
    }

    // MARK: at every byte

    @Test(arguments: Meddler.Deed.allCases) func aServerThatIsSpoiltAnywhere(_ deed: Meddler.Deed) throws {
        let server = try LoopbackServer(["MaxStartups 1000"])
        let whole = try bytes(of: server)
        var phases: [SSHError.Phase] = []
        for offset in stride(from: 0, to: whole, by: max(1, whole / (deed == .silence ? 12 : 24))) {
            let meddler = try Meddler(before: server.port, deed, after: offset)
            let began = ContinuousClock.now
            do {
                let session = try server.connect(["Port \(meddler.port)", "HostKeyAlias known"]) { options in
                    options.limits = Self.limits(.seconds(deed == .silence ? 3 : 5))
                }
                // One byte of padding that nobody looks at.
                #expect(deed == .flip, "it connected with \(deed) after \(offset) bytes")
                session.close()
            } catch let error as SSHError {
                phases.append(error.phase)
                #expect(error.message.contains("lab (127.0.0.1:\(meddler.port))"), "\(error)")
                if deed == .silence { #expect(error.kind == .timedOut, "after \(offset) bytes: \(error)") }
            }
            #expect(ContinuousClock.now - began < .seconds(15), "\(deed) after \(offset) bytes")
        }
        let order: [SSHError.Phase] = [.banner, .keyExchange, .hostKey, .authentication]
        let positions = phases.compactMap { order.firstIndex(of: $0) }
        #expect(positions.count == phases.count)
        #expect(positions == positions.sorted())
        #expect(Set(phases).isSuperset(of: [.banner, .keyExchange, .authentication]))
    }

    /// How many bytes the server sends until somebody is logged in.
    private func bytes(of server: LoopbackServer) throws -> Int {
        let key = server.workshop.read("host_ed25519.pub")
        try server.workshop.write("known_hosts", "known \(key)")
        var (failing, working) = (0, 1 << 13)
        while working - failing > 1 {
            let middle = (failing + working) / 2
            let meddler = try Meddler(before: server.port, .close, after: middle)
            let session = try? server.connect(["Port \(meddler.port)", "HostKeyAlias known"])
            if session == nil { failing = middle } else { working = middle }
            session?.close()
        }
        return working
    }

    // MARK: cancelled

    @Test func aConnectIsCancelledInAnyPhase() throws {
        let server = try LoopbackServer(["MaxStartups 1000"])
        let whole = try bytes(of: server)
        for offset in stride(from: 0, to: whole, by: max(1, whole / 12)) {
            let meddler = try Meddler(before: server.port, .silence, after: offset)
            let cancellation = SSHCancellation()
            Thread.detachNewThread {
                meddler.deed.wait()
                cancellation.cancel()
            }
            let began = ContinuousClock.now
            let error = try server.failure(["Port \(meddler.port)", "HostKeyAlias known"]) { options in
                options.cancellation = cancellation
            }
            #expect(error.kind == .cancelled, "after \(offset) bytes: \(error)")
            #expect(ContinuousClock.now - began < .seconds(5))
        }
    }

    @Test func aConnectIsCancelledBeforeItIsThere() throws {
        let listener = try FullListener()
        let cancellation = SSHCancellation()
        cancellation.cancel()
        let error = try failure(listener.port) { $0.cancellation = cancellation }
        #expect(error.kind == .cancelled)
    }

    @Test func aPromptIsCancelled() throws {
        let server = try LoopbackServer()
        try server.workshop.key("own", passphrase: "open sesame")
        try server.workshop.write("authorized_keys", server.workshop.read("own.pub"))
        let error = try server.failure(["IdentityFile \(server.workshop.path("own"))"]) { options in
            options.askPassphrase = { _, cancellation in
                cancellation.cancel()
                return nil
            }
        }
        #expect(error.kind == .cancelled)
    }

    // MARK: help

    /// - Parameter limit: of each phase after the connection is made.
    private static func limits(_ limit: Duration) -> SSHLimits {
        var limits = SSHLimits()
        (limits.banner, limits.keyExchange, limits.authentication) = (limit, limit, limit)
        return limits
    }

    /// - Parameter isTimed: whether the limits are short.
    private func failure(
        _ port: Int, isTimed: Bool = false, _ change: (inout SSHOptions) -> Void = { _ in }
    ) throws -> SSHError {
        var options = SSHOptions()
        var configuration = SSHConfiguration(host: "127.0.0.1", hostName: "127.0.0.1", user: "u")
        configuration.port = port
        options.configuration = configuration
        if isTimed { options.limits = Self.limits(.seconds(1)) }
        change(&options)
        return try #require(throws: SSHError.self) {
            try SSHSession.connect(to: SSHDestination(host: "127.0.0.1"), options: options).close()
        }
    }
}

/// A listener whose queue is full: the kernel drops what else comes.
final class FullListener {
    let port: Int
    private var descriptors: [Int32] = []

    init() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        descriptors.append(listener)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(listener, $0, length)
                _ = getsockname(listener, $0, &length)
            }
        }
        port = Int(UInt16(bigEndian: address.sin_port))
        try #require(listen(listener, 0) == 0)
        descriptors.append(try FakeServer.dial(port))
    }

    deinit { for descriptor in descriptors { close(descriptor) } }
}
