import Foundation
import SemQueueTestSupport
import Testing

@testable import SSHTransport

/// Each opens its sessions in a process of its own, so that nothing else opens descriptors there.
@Suite struct LeakTests {
    @Test func aThousandSessionsLeaveNothing() throws {
        let sessions = try sessions(1000)
        #expect(sessions.status == 0, "\(sessions)")
        // What is not lost, but kept. The sanitizer itself keeps about 5 KiB for each session.
        let added = sessions.out.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        #expect(added.prefix(2) == [0, 0] && added.count == 3 && added[2] < 6 << 10, "\(sessions.out)")
    }

    /// Not many bytes, and not many sessions.
    @Test func aLeakInSessionsIsFound() throws {
        let sessions = try sessions(10, leak: 300)
        #expect(sessions.status == 23)
        #expect(sessions.err.contains("SUMMARY: LeakSanitizer: 3000 byte(s) leaked in 10 allocation(s)"))
    }

    /// Opens and closes so many sessions in a program of its own, under the leak sanitizer. That ends a program which has
    /// lost memory with status 23.
    /// - Parameter leak: how many bytes each session loses on purpose.
    private func sessions(_ count: Int, leak: Int = 0) throws -> ProgramOutput {
        let server = try LoopbackServer(["LogLevel ERROR"])
        let sanitized = ["env", "LD_PRELOAD=liblsan.so.0", "LSAN_OPTIONS=exitcode=23"]
        let words = [try Machine.built("SemQueueSessions"), try server.config(), "\(count)", "\(leak)"]
        return try ProgramOutput.of(sanitized + words, limit: .seconds(600))
    }

    @Test func connectsThatComeToNothingLeaveNothing() async {
        await #expect(processExitsWith: .success) {
            let server = try LoopbackServer(["LogLevel ERROR", "MaxStartups 1000", "PasswordAuthentication no"])
            let key = server.workshop.read("host_ed25519.pub")
            try server.workshop.write("known_hosts", "known \(key)")
            try server.workshop.key("other")
            let usage = try Usage.growth(warm: 10, rounds: 120) { round in
                // Cut, cancelled, refused: at another byte each time.
                let cancellation = SSHCancellation()
                let meddler = try Meddler(before: server.port, round % 2 == 0 ? .close : .silence, after: round * 15)
                Thread.detachNewThread {
                    meddler.deed.wait()
                    cancellation.cancel()
                }
                let identity = round % 3 == 0 ? "other" : "id"
                let lines = [
                    "Port \(meddler.port)", "HostKeyAlias known", "IdentityFile \(server.workshop.path(identity))",
                ]
                let session = try? server.connect(lines) { $0.cancellation = cancellation }
                session?.close()
                meddler.deed.signal()
            }
            usage.exit(server)
        }
    }

    @Test func transfersLeaveNothing() async {
        await #expect(processExitsWith: .success) {
            let server = try LoopbackServer(["LogLevel ERROR"])
            let options = try server.options()
            let session = try SSHSession.connect(to: SSHDestination(host: "lab"), options: options)
            let closed = try SSHSession.connect(to: SSHDestination(host: "lab"), options: options)
            closed.close()
            func nothing() -> Int32 { open("/dev/null", O_RDWR | O_CLOEXEC) }
            let usage = try Usage.growth(warm: 5, rounds: 30) { _ in
                try #require(session.upload(from: nothing(), to: "cat").exit == .exited(0))
                try #require(session.download(from: "true", to: nothing()).exit == .exited(0))
                #expect(throws: SSHError.self) { try closed.upload(from: nothing(), to: "cat") }
                #expect(throws: SSHError.self) { try closed.download(from: "true", to: nothing()) }
            }
            session.close()
            usage.exit(server)
        }
    }

    @Test func sessionsThatAreLostLeaveNothing() async {
        await #expect(processExitsWith: .success) {
            let server = try LoopbackServer(["LogLevel ERROR"])
            let options = try server.options()
            let usage = try Usage.growth(warm: 6, rounds: 45) { round in
                let session = try SSHSession.connect(to: SSHDestination(host: "lab"), options: options)
                let ends = try Ends()
                let channel = try session.exec("yes", input: -1, output: ends.theirs, error: -1)
                _ = ends.read(1 + round)
                switch round % 3 {
                case 0: for pid in server.sessions { kill(pid, SIGKILL) }
                case 1: session.abort()
                default: channel.close()
                }
                _ = channel.wait()
                close(ends.ours)
                session.close()
            }
            usage.exit(server)
        }
    }
}

/// What this process holds.
struct Usage {
    var descriptors: Int
    var threads: Int
    /// Resident memory, in KiB.
    var memory: Int

    static var now: Usage {
        let statm = FileManager.default.contents(atPath: "/proc/self/statm") ?? Data()
        let pages = String(decoding: statm, as: UTF8.self).split(separator: " ").dropFirst().first.flatMap { Int($0) }
        return Usage(
            descriptors: count("/proc/self/fd"), threads: count("/proc/self/task"), memory: (pages ?? 0) * 4)
    }

    private static func count(_ folder: String) -> Int {
        (try? FileManager.default.contentsOfDirectory(atPath: folder).count) ?? 0
    }

    /// What so many rounds add, once the first few have filled every cache.
    static func growth(warm: Int, rounds: Int, _ body: (Int) throws -> Void) throws -> Usage {
        for round in 0..<warm { try body(round) }
        let before = settled()
        for round in 0..<rounds { try body(round) }
        let after = settled(near: before)
        return Usage(
            descriptors: after.descriptors - before.descriptors, threads: after.threads - before.threads,
            memory: after.memory - before.memory)
    }

    /// The tests' own threads take a moment to end.
    private static func settled(near before: Usage? = nil) -> Usage {
        var usage = now
        for _ in 0..<100 {
            usleep(20_000)
            let next = now
            let isSettled = next.threads == usage.threads && next.descriptors == usage.descriptors
            usage = next
            if let before, usage.threads > before.threads || usage.descriptors > before.descriptors { continue }
            if isSettled { break }
        }
        return usage
    }

    /// Ends the process: well if nothing was added. An allocator keeps a few pages to itself.
    func exit(_ server: LoopbackServer) -> Never {
        print("\(self)")
        try? FileManager.default.removeItem(atPath: server.workshop.folder)
        Foundation.exit(descriptors <= 0 && threads <= 0 && memory < 6 << 10 ? 0 : 1)
    }
}
