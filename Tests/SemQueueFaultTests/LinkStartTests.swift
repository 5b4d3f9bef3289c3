import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Programs that carry links, and are slow to start.
@Suite struct LinkStartTests {
    /// The program lies where nothing can be read, as on the network that is gone: the command's end doesn't wait for it.
    @Test func oneThatHangsHoldsUpNoEnd() throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        let sandbox = try Sandbox()
        // The host is this one.
        try sandbox.write("rsh", "#!/bin/sh\nfor line; do :; done\nexec sh -c \"$line\"\n", executable: true)
        let words = ["acquire", "-q", "--lease", "5", "--rsh", sandbox.path("rsh"), "host:\(sandbox.path("q"))", "--"]
        let holder = try sandbox.start(
            [Sandbox.binary] + words + ["sh", "-c", "echo $$ > pid; exec sleep 300"])
        try #require(Event.happens { sandbox.lines("pid").count == 1 }, "\(holder.err)")
        let command = try #require(pid_t(sandbox.lines("pid")[0]))
        let guardian = try #require(Processes.guardian(of: holder.pid))
        let strace = try sandbox.start([
            "strace", "-f", "-qq", "-o", "trace", "-p", "\(guardian)", "-e", "trace=execve", "-e",
            "inject=execve:delay_enter=60000000:when=1",
        ])
        try #require(Event.happens { Machine.isTraced(guardian) })
        // The link, with the agent below it.
        for link in Processes.children(of: holder.pid) where link != guardian {
            for process in Processes.children(of: link) + [link] { kill(process, SIGKILL) }
        }
        let look = "kill -0 \(command) 2>/dev/null && echo beside; true"
        let next = try sandbox.start([Sandbox.binary, "acquire", "-q", "q", "--", "sh", "-c", look])
        #expect(Event.happens { next.hasEnded })
        #expect(next.wait().out == "")
        #expect(sandbox.read("trace").contains("execve("), "it is what hangs")
        strace.send(SIGKILL)
        _ = strace.wait()
        #expect(holder.wait().status == .exited(76))
    }
}
