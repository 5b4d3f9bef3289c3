import Foundation
import SemQueueTestSupport
import Testing

@testable import SSHTransport

/// A short program's output, whatever it leaves behind.
@Suite struct ProgramOutputTests {
    private func shell(_ line: String, limit: Duration = .seconds(60)) throws(ProgramOutput.Failure) -> ProgramOutput {
        try ProgramOutput.of(["sh", "-c", line], limit: limit)
    }

    @Test func bothStreamsAndTheStatus() throws {
        #expect(try shell("echo a; echo b >&2; exit 7") == ProgramOutput(out: "a\n", err: "b\n", status: 7))
        #expect(try shell("kill -9 $$").status == nil)
        #expect(try shell("cat").out == "")
    }

    @Test func moreThanAPipeHolds() throws {
        let output = try shell("head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' y >&2")
        #expect(output.out == String(repeating: "x", count: 300_000))
        #expect(output.err == String(repeating: "y", count: 300_000))
    }

    @Test func moreThanFitsIsDropped() throws {
        let output = try shell("head -c 3000000 /dev/zero | tr '\\0' x; exit 3")
        #expect(output.out.utf8.count == 1 << 20)
        #expect(output.status == 3)
    }

    @Test func whatIsNotThere() {
        #expect(throws: ProgramOutput.Failure.notFound) {
            try ProgramOutput.of(["no-such-program"], limit: .seconds(1))
        }
        #expect(throws: ProgramOutput.Failure.system(EACCES)) {
            try ProgramOutput.of(["/etc/passwd"], limit: .seconds(1))
        }
    }

    @Test func timeIsUp() throws {
        let workshop = try Workshop()
        let started = ContinuousClock.now
        #expect(throws: ProgramOutput.Failure.timedOut) {
            try shell("echo $$ > \(workshop.path("pid")); sleep 600 & sleep 600", limit: .seconds(1))
        }
        #expect(ContinuousClock.now - started < .seconds(30))
        // Its whole group is gone, the background job, too.
        let group = try #require(workshop.lines("pid").first)
        #expect(Event.happens { (try? living(in: group)) == [] })
    }

    private func living(in group: String) throws -> [Substring] {
        try shell("ps -eo pgid=,stat=").out.split(separator: "\n").filter {
            let fields = $0.split(separator: " ")
            return fields[0] == group && !fields[1].hasPrefix("Z")
        }
    }

    @Test func aDaemonThatKeepsTheOutputOpenHoldsNobodyUp() throws {
        let started = ContinuousClock.now
        let output = try shell("sleep 600 & echo $!")
        #expect(ContinuousClock.now - started < .seconds(30))
        let daemon = try #require(Int32(output.out.dropLast()))
        #expect(kill(daemon, SIGKILL) == 0)
    }

    @Test func nothingIsLeftOpen() throws {
        func open() -> Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0 }
        let before = open()
        for _ in 0..<300 {
            #expect(throws: ProgramOutput.Failure.notFound) {
                try ProgramOutput.of(["no-such-program"], limit: .seconds(1))
            }
        }
        for _ in 0..<300 { #expect(try shell(":").status == 0) }
        // Other tests run at the same time.
        #expect(open() < before + 200)
    }
}
