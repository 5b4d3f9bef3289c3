import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// A process is stopped in the few calls under the queue's mutex. Nobody is let in meanwhile; whoever
/// waits is told who stands still, and can give up; after SIGCONT all goes on.
@Suite struct MutexTests {
    /// A queue whose mutex is held by a stopped `semq`.
    private struct Standstill {
        let sandbox: Sandbox
        let culprit: Running
        let pid: pid_t

        /// - Parameter held: somebody holds the queue, until the file `go` is there.
        init(held: Bool = false) throws {
            let sandbox = try Sandbox()
            _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
            if held {
                let command = "touch held; until [ -e go ]; do sleep 0.01; done"
                holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sh", "-c", command)
                #expect(Event.happens { sandbox.exists("held") })
            }
            // At which of its fcntl(2) calls does it take the mutex?
            let arguments = [Sandbox.binary, "acquire", "-q", "-w", "60", "board.queue", "--", "touch", "culprit-ran"]
            try #require(sandbox.shell("cp board.queue probe.queue").status == .exited(0))
            let rehearsal = arguments.map {
                $0 == "board.queue" ? "probe.queue" : $0 == "culprit-ran" ? "rehearsed" : $0
            }
            let strace = ["strace", "-e", "trace=fcntl", "-o"]
            try #require(sandbox.start(strace + ["calls"] + rehearsal).wait().status == .exited(0))
            let call = try #require(
                sandbox.lines("calls").firstIndex {
                    $0.contains("F_OFD_SETLK") && $0.contains("l_start=1152921504606846976")
                })
            let inject = ["trace", "-e", "inject=fcntl:signal=STOP:when=\(call + 1)"]
            let culprit = try sandbox.start(strace + inject + arguments)
            try #require(Event.happens { sandbox.read("trace").contains("stopped by SIGSTOP") }, "\(culprit.err)")
            let children = "/proc/\(culprit.pid)/task/\(culprit.pid)/children"
            let child = try String(contentsOfFile: children, encoding: .utf8).split(separator: " ").first
            pid = try #require(child.flatMap { pid_t($0) })
            (self.sandbox, self.culprit) = (sandbox, culprit)
        }

        private(set) var holder: Running?

        func letGoOn() { kill(pid, SIGCONT) }
    }

    private func canRun() -> Bool { Machine.has(.program("strace", package: "strace")) }

    @Test func nonblockGivesUpWithinSeconds() throws {
        guard canRun() else { return }
        let standstill = try Standstill()
        let start = Date()
        let result = try standstill.sandbox.semq("acquire", "-n", "board.queue", "--", "touch", "ran")
        let time = Date().timeIntervalSince(start)
        #expect(result.status == .exited(75))
        #expect(time > 2 && time < 9, "about five seconds, not \(time)")
        #expect(
            result.err.contains(
                "semq: board.queue: process \(standstill.pid) (semq, stopped) stands still with the queue's mutex"))
        #expect(!standstill.sandbox.exists("ran"))
        standstill.letGoOn()
        #expect(standstill.culprit.wait().status == .exited(0))
        #expect(standstill.sandbox.exists("culprit-ran"))
        #expect(try standstill.sandbox.semq("acquire", "-n", "-q", "board.queue", "--", "true").status == .exited(0))
    }

    @Test func limitOfTimeIsKept() throws {
        guard canRun() else { return }
        let standstill = try Standstill()
        let start = Date()
        let result = try standstill.sandbox.semq("acquire", "-w", "3", "board.queue", "--", "touch", "ran")
        let time = Date().timeIntervalSince(start)
        #expect(result.status == .exited(75))
        #expect(time >= 3 && time < 6, "three seconds, not \(time)")
        #expect(result.err.contains("process \(standstill.pid) (semq, stopped) stands still"))
        #expect(result.err.contains("board.queue: not granted in time"))
        #expect(!standstill.sandbox.exists("ran"))
        standstill.letGoOn()
        #expect(standstill.culprit.wait().status == .exited(0))
    }

    @Test func doctorNamesIt() throws {
        guard canRun() else { return }
        let standstill = try Standstill()
        let result = try standstill.sandbox.semq("doctor", "board.queue")
        #expect(result.status == .exited(65))
        #expect(
            result.out.contains(
                "BAD   mutex        process \(standstill.pid) (semq, stopped) holds it: let it go on (kill -CONT \(standstill.pid)) or end it"
            ),
            "\(result.out)")
        // Looking takes no lock; changing something is refused in time, and names it too.
        #expect(try standstill.sandbox.semq("status", "board.queue").status == .exited(0))
        let set = try standstill.sandbox.semq("set", "board.queue", "--concurrency", "2")
        #expect(set.status == .exited(74))
        #expect(
            set.err
                == "semq: board.queue: process \(standstill.pid) (semq, stopped) stands still with the queue's mutex; let it go on (kill -CONT) or end it\n"
        )
        standstill.letGoOn()
        #expect(standstill.culprit.wait().status == .exited(0))
        #expect(try standstill.sandbox.semq("doctor", "board.queue").status == .exited(0))
    }

    /// Several wait for the mutex, and none is forgotten. A signal still ends one.
    @Test func allGoOnAfterwards() throws {
        guard canRun() else { return }
        let standstill = try Standstill()
        let sandbox = standstill.sandbox
        let oracle = try Oracle(sandbox)
        let waiters = try (1...4).map {
            try sandbox.start([Sandbox.binary, "acquire", "board.queue", "--"] + oracle.words + ["\($0)"])
        }
        for waiter in waiters {
            #expect(Event.happens { waiter.err.contains("process \(standstill.pid) (semq, stopped) stands still") })
        }
        waiters[0].send(SIGTERM)
        #expect(waiters[0].wait().status == .signaled(SIGTERM))
        #expect(oracle.names.isEmpty)
        standstill.letGoOn()
        #expect(standstill.culprit.wait().status == .exited(0))
        for waiter in waiters.dropFirst() { #expect(waiter.wait().status == .exited(0)) }
        #expect(oracle.names.sorted() == ["2", "3", "4"] && oracle.complaint == nil)
    }

    /// The holder's command ends meanwhile: releasing takes no mutex. A waiter that was there before gets
    /// in when the mutex is free again.
    @Test func holderReleasesWithoutTheMutex() throws {
        guard canRun() else { return }
        let standstill = try Standstill(held: true)
        let sandbox = standstill.sandbox
        try sandbox.write("go", "")
        #expect(standstill.holder?.wait().status == .exited(0))
        #expect(try sandbox.semq("status", "board.queue").out.hasPrefix("board.queue: free"))
        standstill.letGoOn()
        #expect(standstill.culprit.wait().status == .exited(0))
        #expect(sandbox.exists("culprit-ran"))
    }

    /// Killed instead, it takes the mutex with it.
    @Test func killingItFreesTheMutex() throws {
        guard canRun() else { return }
        let standstill = try Standstill()
        let waiter = try standstill.sandbox.starting("acquire", "board.queue", "--", "echo", "in")
        #expect(Event.happens { waiter.err.contains("stands still") })
        kill(standstill.pid, SIGKILL)
        let result = waiter.wait()
        #expect(result.status == .exited(0) && result.out == "in\n")
    }
}
