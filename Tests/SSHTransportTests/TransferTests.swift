import Foundation
import Testing

@testable import SSHTransport

@Suite struct TransferTests {
    private static let size = 5_000_000

    private func file(_ name: String, in workshop: Workshop) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.size)
        let random = open("/dev/urandom", O_RDONLY | O_CLOEXEC)
        defer { close(random) }
        try #require(read(random, &bytes, bytes.count) == bytes.count)
        try #require(FileManager.default.createFile(atPath: workshop.path(name), contents: Data(bytes)))
        return bytes
    }

    @Test func upAndDown() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        let bytes = try file("here", in: server.workshop)
        var steps: [Int] = []
        let up = try session.upload(
            from: open(server.workshop.path("here"), O_RDONLY | O_CLOEXEC), size: Self.size,
            to: "cat >\(server.workshop.path("there"))"
        ) { steps.append($0) }
        #expect(up == SSHTransfer(exit: .exited(0), bytes: Self.size, errors: ""))
        #expect(steps.last == Self.size)
        #expect(steps == steps.sorted())
        let back = open(server.workshop.path("back"), O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        let down = try session.download(from: "cat \(server.workshop.path("there"))", to: back)
        #expect(down == SSHTransfer(exit: .exited(0), bytes: Self.size, errors: ""))
        #expect(FileManager.default.contents(atPath: server.workshop.path("back")) == Data(bytes))
    }

    @Test func aCommandThatFailsSaysWhy() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        _ = try file("here", in: server.workshop)
        let up = try session.upload(
            from: open(server.workshop.path("here"), O_RDONLY | O_CLOEXEC), size: Self.size,
            to: "echo no room >&2; exit 9")
        #expect(up.exit == .exited(9))
        #expect(up.errors == "no room\n")
        let down = try session.download(
            from: "cat /nowhere", to: open(server.workshop.path("back"), O_WRONLY | O_CREAT | O_CLOEXEC, 0o600))
        #expect(down.exit == .exited(1))
        #expect(down.bytes == 0)
        #expect(down.errors.contains("No such file or directory"))
    }

    @Test func aFileThatIsShorterThanItShouldBe() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        _ = try file("here", in: server.workshop)
        let error = try #require(throws: SSHError.self) {
            try session.upload(
                from: open(server.workshop.path("here"), O_RDONLY | O_CLOEXEC), size: Self.size + 1,
                to: "cat >/dev/null")
        }
        #expect(error.message.contains("5000000 bytes were there to upload to 127.0.0.1, not 5000001"))
    }

    @Test func aFullDiskHere() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        let error = try #require(throws: SSHError.self) {
            try session.download(from: "head -c 1000000 /dev/zero", to: open("/dev/full", O_WRONLY | O_CLOEXEC))
        }
        #expect(error.kind == .system)
        #expect(error.message.contains("No space left on device"))
    }

    @Test func aFileHereThatCantBeRead() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        // A folder can be opened, and then not read.
        let path = server.workshop.path("uploaded")
        let error = try #require(throws: SSHError.self) {
            try session.upload(from: open("/tmp", O_RDONLY | O_CLOEXEC), to: "cat >/dev/null && touch \(path)")
        }
        #expect(error.message.contains("Is a directory"))
    }
}
