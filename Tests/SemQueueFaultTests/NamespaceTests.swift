import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Members in namespaces and root folders of their own, where pids and host names mean nothing to the
/// others: locks do.
@Suite struct NamespaceTests {
    private static let unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]

    private func canRun() -> Bool {
        Machine.has(
            .root, .program("unshare", package: "util-linux"), .program("busybox", package: "busybox-static"))
    }

    @Test func pidNamespacesExcludeEachOther() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        let oracle = try Oracle(sandbox)
        let all = try (1...6).map { number in
            try sandbox.start(
                Self.unshare + [Sandbox.binary, "acquire", "-q", "board.queue", "--"] + oracle.words + ["\(number)"])
        }
        for running in all { #expect(running.wait().status == .exited(0), "\(running.err)") }
        #expect(oracle.names.count == 6 && oracle.complaint == nil)
    }

    /// As a container's entry point: the default actions don't end process 1. A job that was cancelled while it waited
    /// must never start.
    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT]) func processOneIsEndedWhileItWaits(_ signal: Int32) throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sh", "-c", "touch held; exec sleep 60")
        #expect(Event.happens { sandbox.exists("held") })
        let waiter = try sandbox.start(
            Self.unshare + [Sandbox.binary, "acquire", "board.queue", "--", "touch", "ran"])
        #expect(Event.happens { waiter.err.contains("next in line") })
        let one = try #require(Processes.children(of: waiter.pid).first)
        kill(one, signal)
        #expect(waiter.wait().status == .exited(128 + signal), "\(waiter.err)")
        holder.send(SIGTERM)
        holder.wait()
        #expect(!sandbox.exists("ran"))
        #expect(try sandbox.semq("acquire", "-q", "-n", "board.queue", "--", "true").status == .exited(0))
    }

    /// Both are process 1 of their own; one waits for the other and says so.
    @Test func killingOneInItsNamespaceFreesTheLock() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        let oracle = try Oracle(sandbox)
        let holder = try sandbox.start(
            Self.unshare + [Sandbox.binary, "acquire", "-q", "board.queue", "--"] + oracle.words + ["holder", "never"])
        #expect(Event.happens { oracle.names == ["holder"] })
        let waiter = try sandbox.start(Self.unshare + [Sandbox.binary, "acquire", "board.queue", "--", "echo", "in"])
        #expect(Event.happens { waiter.err.contains("board.queue: next in line; held by root@") })
        #expect(waiter.err.contains("(pid 1)"), "as its own namespace numbers it: \(waiter.err)")
        // The end of process 1 ends the namespace, command and guardian with it.
        holder.send(SIGKILL)
        #expect(waiter.wait().out == "in\n")
        #expect(waiter.wait().status == .exited(0))
    }

    /// Only `semq` is killed, in a namespace where others live on: the lock follows the work.
    @Test func killingSemqInItsNamespaceLeavesTheLockWithTheCommand() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        let oracle = try Oracle(sandbox)
        let line =
            "\(Sandbox.binary) acquire -q board.queue -- \(oracle.line) holder go & pid=$!; until [ -e kill ]; do sleep 0.01; done; kill -9 $pid; echo killed; until [ -e done ]; do sleep 0.01; done"
        let inside = try sandbox.start(Self.unshare + ["/bin/sh", "-c", line])
        #expect(Event.happens { oracle.names == ["holder"] })
        try sandbox.write("kill", "")
        #expect(Event.happens { inside.out == "killed\n" })
        #expect(try sandbox.semq("acquire", "-q", "-n", "board.queue", "--", "true").status == .exited(75))
        let waiter = try sandbox.start(
            [Sandbox.binary, "acquire", "-q", "board.queue", "--"] + oracle.words + ["waiter"])
        try sandbox.write("go", "")
        #expect(waiter.wait().status == .exited(0))
        #expect(oracle.names == ["holder", "waiter"] && oracle.complaint == nil)
        try sandbox.write("done", "")
        inside.wait()
    }

    /// A pid namespace that still sees the /proc of another: the numbers there are other processes'.
    @Test func whereProcIsAnotherNamespacesWhatIsLeftKeepsTheTurn() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        let work = "until test -e go; do sleep 0.02; done; echo done >> log"
        let job = "(echo in > in; \(work)) & until test -e in; do sleep 0.02; done"
        let inside = try sandbox.start([
            "unshare", "--pid", "--fork", "--kill-child", "/bin/sh", "-c",
            "\(Sandbox.binary) acquire -q q -- sh -c '\(job)'; until test -e end; do sleep 0.02; done",
        ])
        #expect(Event.happens { sandbox.exists("in") })
        let waiter = try sandbox.start([Sandbox.binary, "acquire", "q", "--", "sh", "-c", "echo next >> log"])
        #expect(Event.happens { waiter.err.contains("something of it still runs") || sandbox.exists("log") })
        try sandbox.write("go", "")
        #expect(waiter.wait().status == .exited(0))
        #expect(sandbox.lines("log") == ["done", "next"])
        try sandbox.write("end", "")
        inside.wait()
    }

    /// Its number means nothing here, and its program may have any name: that it lives is seen by its lock.
    @Test func aHolderOfAnotherNamespaceIsNoOrphan() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        let line =
            "cp \(Sandbox.binary) turn && mkfifo in && exec 9<>in; echo 30000 > /proc/sys/kernel/ns_last_pid; ./turn acquire -q q <in; echo $? > code"
        let inside = try sandbox.start(Self.unshare + ["/bin/sh", "-c", line])
        #expect(Event.happens { (try? sandbox.semq("status", "q").out.contains("q: held")) == true })
        let status = try sandbox.semq("status", "q").out
        #expect(status.contains("300") && !status.contains("orphaned"), "\(status)")
        #expect(try sandbox.semq("release", "q", "--ticket", "1", "--reason", "x").status == .exited(0))
        inside.wait()
        #expect(sandbox.lines("code") == ["76"])
    }

    // MARK: root folders

    /// A folder that serves as a root: busybox (no glibc), `semq`, and a folder that several share.
    private func makeRoot(_ sandbox: Sandbox, _ name: String) throws {
        let line = """
            mkdir -p \(name)/bin \(name)/proc \(name)/dev \(name)/share shared && cp "$(command -v busybox)" \(name)/bin/ &&
            cp \(Sandbox.binary) \(name)/bin/semq && for a in sh sleep mkdir rmdir echo true ls id; do ln -s busybox \(name)/bin/$a; done &&
            mknod -m 666 \(name)/dev/null c 1 3 && cp work shared/work
            """
        let made = try sandbox.shell(line)
        try #require(made.status == .exited(0), "\(made.err)")
    }

    private func words(inRoot name: String, proc: Bool) -> [String] {
        let mounts = "mount --bind shared \(name)/share" + (proc ? " && mount -t proc proc \(name)/proc" : "")
        return [
            "unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "--kill-child", "sh", "-c",
            "\(mounts) && exec chroot \(name) \"$@\"", "chroot",
        ]
    }

    @Test(arguments: [true, false]) func runsWithAnotherCLibraryWithAndWithoutProc(proc: Bool) throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        _ = try Oracle(sandbox)
        try makeRoot(sandbox, "root")
        let inside = words(inRoot: "root", proc: proc)
        let run = try sandbox.start(
            inside + [
                "/bin/semq", "acquire", "-q", "/share/board.queue", "--", "/bin/sh", "-c",
                "echo slot $SEMQ_SLOT; exit 3",
            ]
        ).wait()
        #expect(run == .init(status: .exited(3), out: "slot 0\n", err: ""))
        let status = try sandbox.start(inside + ["/bin/semq", "status", "/share/board.queue"]).wait()
        #expect(status == .init(status: .exited(0), out: "/share/board.queue: free, nobody waits\n", err: ""))
        // The tree of a holder that is ended is found and reaped; without /proc the command itself is.
        let line = proc ? "trap '' TERM; sleep 300 & wait; sleep 300" : "trap '' TERM; exec sleep 300"
        let words = ["/bin/semq", "acquire", "-q", "/share/board.queue", "--", "/bin/sh", "-c", line]
        let holder = try sandbox.start(inside + words)
        #expect(Event.happens { (try? sandbox.semq("status", "shared/board.queue").out.contains("held")) == true })
        let json = try sandbox.semq("status", "--json", "shared/board.queue").out
        let ticket = try #require(json.firstMatch(of: /"ticket": (\d+)/)).1
        let released = try sandbox.semq(
            "release", "shared/board.queue", "--ticket", "\(ticket)", "--reason", "tidying up", "--grace", "0.2")
        #expect(released.status == .exited(0), "\(released.err)")
        let end = holder.wait()
        #expect(end.status == .exited(76) && end.err.contains("tidying up"), "\(end)")
        let doctor = try sandbox.start(inside + ["/bin/semq", "doctor", "/share/board.queue"]).wait()
        #expect(doctor.status == .exited(0), "\(doctor.out)")
    }

    /// Two root folders that share one folder, each with namespaces of its own: what a container is.
    @Test func rootFoldersThatShareAFolderExcludeEachOther() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        _ = try Oracle(sandbox)
        try makeRoot(sandbox, "one")
        try makeRoot(sandbox, "two")
        let all = try (1...8).map { number in
            try sandbox.start(
                words(inRoot: number % 2 == 0 ? "one" : "two", proc: true)
                    + ["/bin/semq", "acquire", "-q", "/share/board.queue", "--", "/bin/sh", "/share/work", "\(number)"])
        }
        for running in all { #expect(running.wait().status == .exited(0), "\(running.err)") }
        #expect(sandbox.lines("shared/entered").count == 8)
        #expect(!sandbox.exists("shared/overlaps"))
    }
}
