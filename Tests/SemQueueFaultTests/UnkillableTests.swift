import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Processes that may not be killed by us, and those that are faster than whoever kills them.
@Suite(.serialized) struct UnkillableTests {
    /// `sudo` without a password: a program that makes itself root's.
    private func becomingRoot(_ sandbox: Sandbox) throws {
        chmod(sandbox.path("."), 0o777)
        _ = try sandbox.shell("cp $(command -v setpriv) asroot && chmod 4755 asroot")
    }

    private func asStranger(_ sandbox: Sandbox, _ line: String) throws -> Running {
        try sandbox.start(
            ["setpriv", "--reuid", "64124", "--regid", "64124", "--clear-groups", "/bin/bash", "-c", line])
    }

    private var canRun: Bool { Machine.has(.root, .program("setpriv", package: "util-linux")) }

    /// kill(2) says EPERM, which is no “gone”.
    @Test(arguments: ["release", "SIGTERM"]) func anotherUsersChildHoldsTheTurnAndIsNamed(_ way: String) throws {
        guard canRun else { return }
        let sandbox = try Sandbox()
        try becomingRoot(sandbox)
        let work = "echo $$ > child; until test -e go; do sleep 0.02; done; echo done >> log"
        try sandbox.write("work", "#!/bin/sh\n\(work)\n", executable: true)
        let semq = try asStranger(
            sandbox,
            "touch log; exec semq acquire --grace 0.2 q -- sh -c './asroot --reuid 0 --clear-groups ./work; true'")
        #expect(Event.happens { sandbox.exists("child") && sandbox.read("child").hasSuffix("\n") }, "\(semq.err)")
        let child = try #require(pid_t(sandbox.lines("child")[0]))
        let waiter = try sandbox.start([Sandbox.binary, "acquire", "q", "--", "sh", "-c", "echo next >> log"])
        #expect(Event.happens { waiter.err.contains("held by") })
        if way == "release" {
            let release = try sandbox.start(
                [Sandbox.binary, "release", "q", "--ticket", "1", "--reason", "drill", "--grace", "0.2"])
            #expect(Event.happens { semq.err.contains("drill") }, "\(release.err)")
        } else {
            semq.send(SIGTERM)
        }
        // With the program that it waits for just now, or without.
        let named = try Regex("work \\(pid \(child)\\)( and 1 more)?: another user's, and not to be ended from here")
        #expect(Event.happens { semq.err.contains(named) }, "\(semq.err)")
        #expect(try sandbox.semq("status", "q").out.contains(named))
        #expect(Event.happens { waiter.err.contains(named) }, "\(waiter.err)")
        // And once, though one helper of it follows the other.
        let isRepeated = Event.happens(within: 3) { semq.err.matches(of: named).count > 1 }
        #expect(!isRepeated, "\(semq.err)")
        #expect(sandbox.lines("log").isEmpty && Processes.isAlive(child))
        try sandbox.write("go", "")
        #expect(waiter.wait().status == .exited(0))
        #expect(sandbox.lines("log") == ["done", "next"])
        _ = semq.wait()
    }

    /// Before anybody tries to end it, and with the way out that is one.
    @Test func whatIsAnotherUsersIsSaidNotToBeOursToEnd() throws {
        guard canRun else { return }
        let sandbox = try Sandbox()
        try becomingRoot(sandbox)
        let semq = try asStranger(
            sandbox,
            "exec semq acquire q -- sh -c './asroot --reuid 0 --clear-groups sh -c \"echo \\$\\$ > child; exec sleep 60\" & until test -s child; do sleep 0.02; done'"
        )
        #expect(Event.happens { sandbox.exists("child") && sandbox.read("child").hasSuffix("\n") }, "\(semq.err)")
        let child = try #require(pid_t(sandbox.lines("child")[0]))
        let advice = "it keeps the turn; it is another user's, and not ours to end: sudo kill \(child)\n"
        #expect(Event.happens { semq.err.contains(advice) }, "\(semq.err)")
        kill(child, SIGTERM)
        #expect(semq.wait().status == .exited(0))
    }

    /// `hidepid`: what is another user's doesn't show in /proc, not even to its parent.
    @Test func whatProcHidesKeepsTheTurn() throws {
        guard canRun, Machine.has(.program("unshare", package: "util-linux")) else { return }
        let sandbox = try Sandbox()
        try becomingRoot(sandbox)
        let work = "echo in > in; until test -e go; do sleep 0.02; done; echo done >> log"
        try sandbox.write("work", "#!/bin/sh\n\(work)\n", executable: true)
        let job = "./asroot --reuid 0 --clear-groups ./work & until test -e in; do sleep 0.02; done"
        let stranger = "setpriv --reuid 64124 --regid 64124 --clear-groups"
        let inside = try sandbox.start([
            "unshare", "--pid", "--fork", "--kill-child", "--mount", "/bin/bash", "-c",
            "mount -t proc -o hidepid=2 proc /proc && exec \(stranger) \(Sandbox.binary) acquire -q q -- sh -c '\(job)'",
        ])
        #expect(Event.happens { sandbox.exists("in") }, "\(inside.err)")
        let waiter = try sandbox.start([Sandbox.binary, "acquire", "q", "--", "sh", "-c", "echo next >> log"])
        #expect(Event.happens { waiter.err.contains("of it still runs") || sandbox.exists("log") })
        try sandbox.write("go", "")
        #expect(waiter.wait().status == .exited(0))
        #expect(sandbox.lines("log") == ["done", "next"])
        inside.wait()
    }

    /// Fork, leave the session, exit, without a pause: a walk through /proc finds them gone. With many other processes
    /// that takes longest.
    @Test func aForkStormIsEnded() throws {
        guard Machine.has(.root, .program("unshare", package: "util-linux")) else { return }
        let sandbox = try Sandbox()
        let storm = """
            #include <signal.h>
            #include <stdlib.h>
            #include <unistd.h>
            int main(void) {
                signal(SIGTERM, SIG_IGN);
                for (int i = 0; i < 5; i++) if (fork() == 0) break;
                for (;;) { pid_t child = fork(); if (child > 0) _exit(0); if (child == 0) setsid(); }
            }
            """
        try sandbox.write("storm.c", storm)
        try #require(sandbox.shell("cc -O1 -o storm storm.c").status == .exited(0))
        try sandbox.write(
            "scene",
            """
            #!/bin/bash
            for i in {1..300}; do sleep 120 & done
            semq acquire -q $1 -- sh -c './storm & exec sleep 100' &
            until semq status $1 2>/dev/null | grep -q held; do sleep 0.05; done
            until pgrep -x storm >/dev/null; do sleep 0.01; done
            semq release $1 --ticket 1 --reason storm --grace 0.1
            for i in 1 2 3 4 5; do pgrep -x storm && echo outlived; done
            semq acquire -n -q $1 -- echo free
            """, executable: true)
        for round in 0..<3 {
            let result = try sandbox.start(
                [
                    "timeout", "60", "unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "./scene",
                    "q\(round)",
                ]
            ).wait()
            #expect(result.out == "free\n", "\(result.err)")
        }
    }
}
