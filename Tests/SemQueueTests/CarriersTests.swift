import Glibc
import Testing

@testable import SemQueue

/// Programs that carry links, and what they leave.
@Suite(.serialized) struct CarriersTests {
    /// - Returns: the carrier, and what it prints in its first line.
    private func start(_ script: String) throws -> (ProgramCarrier, String) {
        let ends = try Link.Ends("bench")
        let carrier = try ProgramCarrier(["sh", "-c", script], ends, "bench", mayAsk: false)
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(ends.output.near, &byte, 1) == 1, byte != UInt8(ascii: "\n") { line.append(byte) }
        ends.closeNear()
        return (carrier, String(decoding: line, as: UTF8.self))
    }

    private func ends(_ pid: Int32) -> Bool {
        let end = Duration.monotonic() + .seconds(20)
        while ProcessTree.isAlive(pid), .monotonic() < end { usleep(1000) }
        return !ProcessTree.isAlive(pid)
    }

    private static let helper = "trap '' HUP TERM; sleep 1000 </dev/null >/dev/null 2>&1 & echo $$ $!;"

    @Test func oneThatIsGivenUpEndsWithWhatItHasStarted() throws {
        let (carrier, line) = try start("\(Self.helper) wait")
        let pids = line.split(separator: " ").compactMap { Int32($0) }
        try #require(pids.count == 2)
        #expect(getsid(pids[0]) == pids[0] && getsid(pids[1]) == pids[0])
        #expect(Carriers.areBehind(pids[1]))
        carrier.kill()
        #expect(ends(pids[1]))
        #expect(!Carriers.all.contains(pids[0]))
    }

    @Test func oneThatEndsLeavesNobody() throws {
        let (carrier, line) = try start("\(Self.helper) exit 3")
        let helper = try #require(line.split(separator: " ").last.flatMap { Int32($0) })
        #expect(carrier.exitCode(within: .seconds(20)) == 3)
        #expect(ends(helper))
    }

    /// Others use it too.
    @Test func aDaemonIsLetAlone() throws {
        let (carrier, line) = try start(
            "setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1 </dev/null' & wait")
        let daemon = try #require(Int32(line))
        #expect(Carriers.areBehind(daemon))
        carrier.kill()
        #expect(ProcessTree.isAlive(daemon))
        kill(daemon, SIGKILL)
    }

    /// Whoever watches over the command hears of every child's end.
    @Test func anEndThatSomebodyElseHasHeardOfIsKnown() throws {
        let (carrier, line) = try start("echo $$; exit 7")
        let pid = try #require(Int32(line))
        #expect(ends(pid))
        #expect(Carriers.reap(pid))
        #expect(!Carriers.all.contains(pid) && !Carriers.reap(pid))
        #expect(carrier.exitCode(within: .zero) == 7)
        carrier.kill()
    }

    /// There is a moment in which the old program's memory is gone, and the new one's isn't there.
    @Test func itIsOneAlsoOnItsWayIntoAnotherProgram() throws {
        let (carrier, line) = try start("echo $$; again='exec sh -c \"$again\"'; export again; exec sh -c \"$again\"")
        let pid = try #require(Int32(line))
        for _ in 0..<5000 { try #require(Carriers.areBehind(pid)) }
        carrier.kill()
        #expect(ends(pid))
    }

    @Test func aStrangerIsNoneOfThem() throws {
        _ = try start("echo").0.exitCode(within: .seconds(20))
        #expect(!Carriers.areBehind(getpid()) && !Carriers.areBehind(1))
    }
}
