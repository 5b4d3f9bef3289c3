import Foundation
import SemQueueTestSupport
import Testing

@testable import SSHTransport

@Suite struct SessionTests {
    @Test func aCommandHasItsInputItsOutputAndItsStatus() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        let spoken = try session.run("cat; echo complaint >&2; exit 3", input: "hello\n")
        #expect(spoken == Spoken(exit: .exited(3), out: "hello\n", err: "complaint\n"))
    }

    @Test(arguments: [0, 1, 77, 127, 255]) func statusOf(_ code: Int32) throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        #expect(try session.run("exit \(code)").exit == .exited(code))
    }

    @Test func aQuickCommandHasItsStatusEachTime() throws {
        let server = try LoopbackServer(["ForceCommand exit 7"])
        let session = try server.connect()
        defer { session.close() }
        for _ in 0..<30 { #expect(try session.run("any").exit == .exited(7)) }
    }

    @Test func aSignalIsNamed() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        #expect(try session.run("kill -KILL $$").exit == .signaled("KILL"))
        #expect(try session.run("kill -TERM $$").exit == .signaled("TERM"))
    }

    @Test func aServerThatDiesLeavesAnUnknownEnd() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        let ends = try Ends()
        let channel = try session.exec("echo up; sleep 100", input: -1, output: ends.theirs, error: -1)
        defer { close(ends.ours) }
        #expect(ends.read(3) == 3)
        for pid in server.sessions { kill(pid, SIGKILL) }
        #expect(channel.wait() == .unknown)
        #expect(ends.read(1) == 0)
        session.close()
        let failure = try #require(session.failure)
        #expect(failure.kind == .lost)
        #expect(failure.message.contains("lab (127.0.0.1:\(server.port)) is lost"))
        let late = #expect(throws: SSHError.self) {
            try session.exec("true", input: -1, output: -1, error: -1)
        }
        #expect(late == failure)
    }

    @Test func outputAndErrorsOf50MBEachStaySeparateBeforeASlowReader() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        let (output, errors) = (try Ends(), try Ends())
        let size = 50_000_000
        let command = "head -c \(size) /dev/zero | tr '\\0' e >&2 & head -c \(size) /dev/zero | tr '\\0' o; wait"
        let channel = try session.exec(command, input: -1, output: output.theirs, error: errors.theirs)
        let counting = Promise<Int>()
        Thread.detachNewThread {
            counting.fulfill(errors.all().count { $0 == UInt8(ascii: "e") })
        }
        // Small bites, so that the other side has to wait most of the time.
        var count = 0
        while true {
            var buffer = [UInt8](repeating: 0, count: 2048)
            let length = read(output.ours, &buffer, buffer.count)
            if length <= 0 { break }
            count += buffer[..<length].count { $0 == UInt8(ascii: "o") }
        }
        #expect(count == size)
        #expect(counting.wait() == size)
        #expect(channel.wait() == .exited(0))
        close(output.ours)
        close(errors.ours)
    }

    @Test func whatNobodyReadsIsNotFetched() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        let (ends, mark) = (try Ends(), server.workshop.path("passed"))
        let command = "head -c 20000000 /dev/zero; echo done >\(mark)"
        let channel = try session.exec(command, input: -1, output: ends.theirs, error: -1)
        // Another command on the same session is not held up by that.
        for _ in 0..<20 { #expect(try session.run("echo next").out == "next\n") }
        #expect(access(mark, F_OK) != 0)
        #expect(channel.wait(atMost: .zero) == nil)
        #expect(ends.all().count == 20_000_000)
        #expect(channel.wait() == .exited(0))
        close(ends.ours)
    }

    @Test func sixteenChannelsAtOnce() throws {
        let server = try LoopbackServer(["MaxSessions 20"])
        let session = try server.connect()
        defer { session.close() }
        let text = String(repeating: "0123456789abcdef", count: 1 << 16)
        let inputs = try (0..<16).map { _ in try Scratch(text) }
        let outputs = try (0..<16).map { _ in try Scratch() }
        let channels = try (0..<16).map {
            try session.exec("cat", input: inputs[$0].copy(), output: outputs[$0].copy(), error: -1)
        }
        #expect(channels.allSatisfy { $0.wait() == .exited(0) })
        #expect(outputs.allSatisfy { $0.text == text })
    }

    @Test func onlySoManyChannels() throws {
        let server = try LoopbackServer(["MaxSessions 2"])
        let session = try server.connect()
        defer { session.close() }
        let ends = try (0..<2).map { _ in try Ends() }
        let channels = try ends.map { try session.exec("cat", input: $0.theirs, output: -1, error: -1) }
        let error = try #require(throws: SSHError.self) {
            try session.exec("true", input: -1, output: -1, error: -1)
        }
        #expect(error.kind == .refused)
        #expect(error.phase == .open)
        #expect(
            error.message == "lab (127.0.0.1:\(server.port)) refused another channel (open failed): its limit for one "
                + "connection is MaxSessions of sshd_config, 10 by default")
        for end in ends { close(end.ours) }
        #expect(channels.map { $0.wait() } == [.exited(0), .exited(0)])
        #expect(try session.run("echo again").out == "again\n")
    }

    @Test func anAccountWithoutAShellRefusesCommands() throws {
        let server = try LoopbackServer(["ForceCommand internal-sftp", "Subsystem sftp internal-sftp"])
        let session = try server.connect()
        defer { session.close() }
        // sftp-only: the command is replaced, and finds no sftp client at its end.
        #expect(try session.run("echo hello", input: "").out.contains("hello") == false)
    }

    @Test func aClosedChannelLetsGoAtOnce() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        let ends = try Ends()
        let channel = try session.exec("cat", input: ends.theirs, output: -1, error: -1)
        channel.close()
        #expect(channel.wait() == .unknown)
        #expect(ends.read(1) == 0)
        close(ends.ours)
        #expect(try session.run("echo more").out == "more\n")
    }

    @Test func aReaderThatGoesEndsTheCommand() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        let ends = try Ends()
        let channel = try session.exec("yes", input: -1, output: ends.theirs, error: -1)
        #expect(ends.read(100) > 0)
        close(ends.ours)
        #expect(channel.wait() == .unknown)
        #expect(Event.happens { server.sessions.allSatisfy { name(of: $0) != "yes" } })
    }

    @Test func whatWasWrittenBeforeTheEndGoesThrough() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        defer { session.close() }
        let (ends, path) = (try Ends(), server.workshop.path("farewell"))
        // One socket is input and output, as of a relay that says goodbye and closes it.
        let channel = try session.exec(
            "cat >\(path)", input: ends.theirs, output: fcntl(ends.theirs, F_DUPFD_CLOEXEC, 3), error: -1)
        let text = String(repeating: "farewell ", count: 100_000)
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            bytes = bytes.dropFirst(max(0, bytes.withUnsafeBytes { write(ends.ours, $0.baseAddress, $0.count) }))
        }
        close(ends.ours)
        _ = channel.wait()
        #expect(Event.happens { server.workshop.read("farewell") == text })
    }

    @Test func aSessionThatIsClosedEndsItsChannels() throws {
        let server = try LoopbackServer()
        let session = try server.connect()
        let channel = try session.exec("sleep 100", input: -1, output: -1, error: -1)
        session.close()
        #expect(channel.wait() == .unknown)
        #expect(Event.happens { server.sessions.isEmpty })
    }

    @Test func aSessionThatIsForgottenIsClosed() throws {
        let server = try LoopbackServer()
        do {
            let session = try server.connect()
            #expect(try session.run("true").exit == .exited(0))
        }
        #expect(Event.happens { server.sessions.isEmpty })
    }

    @Test func anIdleSessionAnswersItsServer() throws {
        // Twice a second of silence, and the server would hang up on a client that doesn't answer.
        let server = try LoopbackServer(["ClientAliveInterval 1", "ClientAliveCountMax 2"])
        let session = try server.connect()
        defer { session.close() }
        #expect(Event.happens { server.log.components(separatedBy: "ctype idle").count > 3 })
        #expect(session.failure == nil)
        #expect(try session.run("echo still here").out == "still here\n")
    }

    @Test func aSessionSurvivesNewKeys() throws {
        let server = try LoopbackServer(["RekeyLimit 1M"])
        let session = try server.connect()
        defer { session.close() }
        let text = String(repeating: "0123456789abcdef", count: 1 << 20)
        let (input, output) = (try Scratch(text), try Scratch())
        let channel = try session.exec("cat", input: input.copy(), output: output.copy(), error: -1)
        #expect(channel.wait() == .exited(0))
        #expect(output.text == text)
        #expect(server.log.components(separatedBy: "rekey").count > 10)
    }

    private func name(of pid: pid_t) -> String {
        let bytes = FileManager.default.contents(atPath: "/proc/\(pid)/comm") ?? Data()
        return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
