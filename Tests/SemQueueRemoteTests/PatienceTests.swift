import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Whoever is slow, or comes and says nothing, keeps an agent for so long and no longer.
@Suite struct PatienceTests {
    /// A byte now and then prolongs nothing: neither the time for a hello nor the lease.
    @Test func aDrip() throws {
        let sandbox = try Sandbox()
        let stranger = try HandClient(sandbox, [Sandbox.binary, "agent"], named: "stranger")
        let holder = try HandClient(sandbox, [Sandbox.binary, "agent"], named: "holder")
        try holder.greet()
        holder.send(
            "acquire path=\(sandbox.path("board.queue")) lease=5000 description=d pid=1 host=h user=u priority=0")
        #expect(holder.says("granted "))
        let haveEnded = Event.happens(within: 60) {
            for client in [stranger, holder] { client.send([UInt8(ascii: "s")], within: 1) }
            usleep(50_000)
            return stranger.running.hasEnded && holder.running.hasEnded
        }
        #expect(haveEnded)
        #expect(stranger.running.err.contains("nobody said hello"), "\(stranger.running.err)")
        #expect(holder.says("error code=gone text=nothing%20was%20heard"), "\(holder.running.out)")
        #expect(try sandbox.semq("acquire", "-q", "-n", "board.queue", "--", "true").status == .exited(0))
    }

    /// Where an agent is found again after a cut: another user isn't heard, whatever it knows; whoever comes without the
    /// secret is told so, and those who only come and stay are not kept without end. The client notices nothing.
    @Test func visitorsThatAreNotTheClient() throws {
        guard Machine.has(.root, .program("setpriv", package: "util-linux")) else { return }
        let sandbox = try Sandbox()
        let client = try HandClient(sandbox, [Sandbox.binary, "agent"])
        try client.greet()
        client.send(
            "acquire path=\(sandbox.path("board.queue")) lease=60000 description=d pid=1 host=h user=u priority=0")
        #expect(client.says("granted "))
        let agent = try #require(client.value("agent", of: "accepted"))
        let secret = try #require(client.value("secret", of: "accepted"))
        let visit = try sandbox.write(
            "visit",
            """
            import socket, sys, time
            def come(text):
                visitor = socket.socket(socket.AF_UNIX)
                visitor.settimeout(30)
                try:
                    visitor.connect("/tmp/semq-\(geteuid())/" + sys.argv[1].split("-")[-1])
                    visitor.sendall(text)
                    return visitor, visitor.recv(4096) if text else b""
                except (ConnectionError, BrokenPipeError, PermissionError):
                    return visitor, b""
            right = f"resume agent={sys.argv[1]} secret={sys.argv[2]} number=1\\n".encode()
            if sys.argv[3] == "right":
                print(come(right)[1])
            elif sys.argv[3] == "wrong":
                wrong = right.replace(sys.argv[2].encode(), b"0" * len(sys.argv[2]))
                for text in [wrong, b"what\\n", b"\\0\\xff" * 2000 + b"\\n", b"x" * 100000]:
                    for _ in range(50): print(come(text)[1])
            elif sys.argv[3] == "stay":
                # As many as find room; more would wait.
                stay = [come(b"")[0] for _ in range(12)]
                print("came", flush=True)
                time.sleep(600)
            """)
        func descriptors() throws -> Int {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/\(client.running.pid)/fd").count
        }
        let before = try descriptors()
        func visitor(_ deed: String, _ through: [String] = []) throws -> Running {
            try sandbox.start(through + ["/usr/bin/python3", visit, agent, secret, deed])
        }
        let other = ["/usr/bin/setpriv", "--reuid", "64321", "--regid", "64321", "--clear-groups"]
        let foreign = try visitor("right", other).wait()
        #expect(foreign.status == .exited(0) && foreign.out == "b''\n", "\(foreign)")
        let wrong = try visitor("wrong").wait()
        #expect(wrong.status == .exited(0) && !wrong.out.contains("resumed"), "\(wrong)")
        #expect(wrong.out.contains("code=gone"), "\(wrong)")
        let stay = try visitor("stay")
        #expect(Event.happens { stay.out == "came\n" || stay.hasEnded }, "\(stay.err)")
        client.send("beat number=7")
        #expect(client.says("beat number=7"))
        #expect(!client.running.out.contains("superseded"))
        #expect(try descriptors() <= before + 16)
        // They are sent away after ten seconds, and whoever knows the secret goes on.
        let right = try visitor("right").wait()
        #expect(right.out.contains("resumed number=1"), "\(right)")
        #expect(client.says("superseded"))
    }
}
