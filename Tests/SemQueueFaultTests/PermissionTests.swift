import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Users who may not, and users whom one can't trust.
@Suite(.serialized) struct PermissionTests {
    /// A user with no name and no other processes.
    private static let stranger = "64123"

    private func asStranger(_ sandbox: Sandbox, _ line: String) throws -> Sandbox.Result {
        try start(asStranger: sandbox, line).wait()
    }

    private func start(asStranger sandbox: Sandbox, _ line: String) throws -> Running {
        let words = [
            "setpriv", "--reuid", Self.stranger, "--regid", Self.stranger, "--clear-groups", "/bin/bash", "-c", line,
        ]
        return try sandbox.start(words)
    }

    private func canRun() -> Bool { Machine.has(.root, .program("setpriv", package: "util-linux")) }

    @Test func noPermissionIsSaid() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        chmod(sandbox.path("."), 0o777)
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        chmod(sandbox.path("board.queue"), 0o600)
        let before = try Data(contentsOf: URL(fileURLWithPath: sandbox.path("board.queue")))
        let result = try asStranger(sandbox, "semq acquire board.queue -- touch ran")
        #expect(result.status == .exited(77))
        #expect(
            result.err == "semq: board.queue: can't open the queue file: Permission denied; "
                + "taking a turn needs permission to read and write it\n")
        let status = try asStranger(sandbox, "semq status board.queue")
        #expect(status.status == .exited(77))
        #expect(
            status.err == "semq: board.queue: can't read the queue file: Permission denied; "
                + "looking needs permission to read it\n")
        #expect(!sandbox.exists("ran"))
        #expect(try Data(contentsOf: URL(fileURLWithPath: sandbox.path("board.queue"))) == before)
    }

    /// By its name from the root a queue below can't be looked at; by the one that was given it can.
    @Test func aFolderThatIsClosedAboveTheQueue() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        chmod(sandbox.path("."), 0o777)
        #expect(
            try sandbox.shell("mkdir -p closed/lab; chmod 777 closed/lab; chmod 700 closed").status == .exited(0))
        let user = "setpriv --reuid \(Self.stranger) --regid \(Self.stranger) --clear-groups"
        let holder = try sandbox.startingShell(
            "cd closed/lab; exec \(user) semq acquire -q q -- sh -c 'echo in > in; exec sleep 600'")
        #expect(Event.happens { sandbox.exists("closed/lab/in") }, "\(holder.err)")
        #expect(sandbox.exists("closed/lab/q.history"))
        unlink(sandbox.path("closed/lab/q"))
        #expect(holder.wait().status == .exited(76))
    }

    private static let user = "setpriv --reuid \(stranger) --regid \(stranger) --clear-groups"

    /// A holder and a waiter behind it, both strangers, at `lab/q`, in a folder that is then closed to them.
    private func crowd(_ sandbox: Sandbox, _ line: String) throws -> (holder: Running, waiter: Running) {
        chmod(sandbox.path("."), 0o777)
        #expect(try sandbox.shell("mkdir -m 1777 lab").status == .exited(0))
        let holder = try sandbox.startingShell("exec \(Self.user) semq acquire -q lab/q -- sh -c '\(line)'")
        #expect(Event.happens { sandbox.exists("in") }, "\(holder.err)")
        let waiter = try sandbox.startingShell("exec \(Self.user) semq acquire -q lab/q -- sh -c 'echo in > waiter'")
        #expect(Event.happens { (try? sandbox.semq("status", "lab/q").out.contains("1 waiting")) == true })
        return (holder, waiter)
    }

    /// Whether its file is where it was can't be looked at then; the file itself tells.
    @Test(arguments: ["rm lab/q; chmod 700 lab", "mv lab away; mkdir -m 700 lab", "mv lab/q lab/p; chmod 700 lab"])
    func aFolderThatIsClosedHidesNoLoss(_ how: String) throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        let (holder, waiter) = try crowd(sandbox, "echo in > in; exec sleep 600")
        #expect(try sandbox.shell(how).status == .exited(0))
        #expect(holder.wait().status == .exited(76))
        let result = waiter.wait()
        #expect(result.status == .exited(77), "\(result)")
        #expect(result.err.contains("lab/q: can't open the queue file: Permission denied"), "\(result.err)")
        #expect(!sandbox.exists("waiter"))
        #expect(try sandbox.semq("acquire", "-q", "-w", "20", "lab/q", "--", "true").status == .exited(0))
    }

    /// It takes nobody's turn, and nobody's place in line.
    @Test func aFolderThatIsClosedAroundTheFileTakesNothing() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        let (holder, waiter) = try crowd(sandbox, "echo in > in; until [ -e go ]; do sleep 0.01; done")
        #expect(try sandbox.shell("chmod 700 lab").status == .exited(0))
        try sandbox.write("go", "")
        #expect(holder.wait().status == .exited(0))
        let result = waiter.wait()
        #expect(result.status == .exited(0), "\(result)")
        #expect(sandbox.exists("waiter"))
    }

    @Test func whoMayOnlyReadCanLookAndNotLock() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-q", "-m", "flashing", "board.queue", "--", "sleep", "60")
        #expect(Event.happens { sandbox.exists("board.queue") })
        chmod(sandbox.path("board.queue"), 0o644)
        #expect(
            Event.happens { (try? asStranger(sandbox, "semq status board.queue").out.contains("flashing")) == true })
        let json = try asStranger(sandbox, "semq status --json board.queue")
        #expect(json.status == .exited(0) && json.out.contains("\"flashing\""))
        for command in [
            "acquire -n board.queue -- touch ran", "set board.queue --concurrency 2",
            "release board.queue --ticket 1 --reason mine",
        ] {
            let result = try asStranger(sandbox, "semq \(command)")
            #expect(result.status == .exited(77), "\(command)")
            #expect(
                result.err.hasPrefix("semq: board.queue: can't open the queue file: Permission denied"), "\(command)")
        }
        #expect(!sandbox.exists("ran") && !holder.hasEnded)
    }

    @Test func folderThatIsNotWritableIsNamed() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        let result = try asStranger(sandbox, "semq acquire \(sandbox.folder)/board.queue -- true")
        #expect(result.status == .exited(73))
        #expect(
            result.err == "semq: \(sandbox.path("board.queue")): can't make the queue file: Permission denied; "
                + "its folder \(sandbox.folder) is not writable\n")
        chmod(sandbox.path("."), 0o700)
        let hidden = try asStranger(sandbox, "semq acquire \(sandbox.folder)/board.queue -- true")
        #expect(hidden.status == .exited(77))
        #expect(
            hidden.err.hasPrefix("semq: \(sandbox.path("board.queue")): can't open the queue file: Permission denied"))
    }

    @Test func readOnlyFileSystemIsSaid() throws {
        guard Machine.has(.root) else { return }
        let sandbox = try Sandbox()
        try sandbox.mount("mount -t tmpfs none \"$1\"")
        _ = try sandbox.semq("acquire", "-q", "mounted/board.queue", "--", "true")
        #expect(try sandbox.shell("mount -o remount,ro \(sandbox.path("mounted"))").status == .exited(0))
        let existing = try sandbox.semq("acquire", "mounted/board.queue", "--", "touch", "ran")
        #expect(existing.status == .exited(65))
        #expect(
            existing.err == "semq: mounted/board.queue: can't open the queue file: Read-only file system; "
                + "a queue must lie where all its users can write\n")
        let new = try sandbox.semq("acquire", "mounted/new.queue", "--", "touch", "ran")
        #expect(new.status == .exited(73))
        #expect(new.err == "semq: mounted/new.queue: can't make the queue file: Read-only file system\n")
        let status = try sandbox.semq("status", "mounted/board.queue")
        #expect(status == .init(status: .exited(0), out: "mounted/board.queue: free, nobody waits\n", err: ""))
        #expect(!sandbox.exists("ran"))
    }

    /// In a folder such as /tmp anybody may have planted a link under the name of the queue or of its history.
    @Test(arguments: ["board.queue", "board.queue.history", "board.queue.history.1"])
    func plantedLinkHarmsNobody(_ name: String) throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        try sandbox.write("victim", "precious\n")
        mkdir(sandbox.path("sticky"), 0o1777)
        chmod(sandbox.path("sticky"), 0o1777)
        #expect(try asStranger(sandbox, "ln -s \(sandbox.path("victim")) sticky/\(name)").status == .exited(0))
        let result = try sandbox.semq("acquire", "sticky/board.queue", "--", "touch", "ran")
        if name == "board.queue" {
            #expect(result.status == .exited(65))
            #expect(result.err.hasPrefix("semq: sticky/board.queue: is a symbolic link"))
            #expect(!sandbox.exists("ran"))
        } else {
            #expect(result.status == .exited(0))
            #expect(sandbox.exists("ran"))
        }
        #expect(sandbox.read("victim") == "precious\n")
    }

    /// Whose locks can't be looked at, because it is another user's, is known by its name.
    @Test func anotherUsersStoppedSemqIsSeenAndPassed() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        chmod(sandbox.path("."), 0o777)
        let holder = try sandbox.starting("acquire", "-q", "-m", "flashing", "q", "--", "sleep", "60")
        #expect(Event.happens { sandbox.exists("q") })
        let waiter = try sandbox.starting("acquire", "-m", "resting", "q", "--", "true")
        #expect(Event.happens { (try? sandbox.semq("status", "q").out.contains("resting")) == true })
        for process in [holder, waiter] {
            process.send(SIGSTOP)
            #expect(Event.happens { Processes.isStopped(process.pid) })
        }
        let status = try asStranger(sandbox, "semq status q").out
        #expect(status.contains(/\n  slot 0, stopped  .*  flashing\n/) && status.contains(/\n  stopped  .*  resting\n/))
        let stranger = try start(asStranger: sandbox, "semq acquire -w 60 q -- true")
        #expect(Event.happens { stranger.err.contains("next in line") }, "\(stranger.err)")
        // A stopped guardian is continued by its `semq`, and that by us.
        holder.send(SIGCONT)
        holder.send(SIGTERM)
        #expect(stranger.wait().status == .exited(0))
        #expect(stranger.err.contains("(pid \(waiter.pid)) stands still and is passed: resting\n"), "\(stranger.err)")
        waiter.send(SIGCONT)
        #expect(waiter.wait().status == .exited(0))
    }

    /// Descriptions are for those who use the queue.
    @Test func whoMayNotReadTheQueueMayNotReadItsHistory() throws {
        guard canRun() else { return }
        let sandbox = try Sandbox()
        chmod(sandbox.path("."), 0o777)
        _ = try sandbox.semq("set", "q", "--concurrency", "1")
        chmod(sandbox.path("q"), 0o640)
        try? FileManager.default.removeItem(atPath: sandbox.path("q.history"))
        #expect(try sandbox.semq("acquire", "-q", "q", "--", "true").status == .exited(0))
        var info = stat()
        #expect(stat(sandbox.path("q.history"), &info) == 0 && info.st_mode & 0o777 == 0o640)
        #expect(try asStranger(sandbox, "cat q.history").out.isEmpty)
    }

    /// Even root may not open another user's file in a sticky folder with O_CREAT there.
    @Test(arguments: ["0", "1", "2"]) func anotherUsersQueueServesUnderProtectedRegular(_ level: String) throws {
        guard canRun() else { return }
        let setting = "/proc/sys/fs/protected_regular"
        let before = try String(contentsOfFile: setting, encoding: .utf8)
        try level.write(toFile: setting, atomically: false, encoding: .utf8)
        defer { try? before.write(toFile: setting, atomically: false, encoding: .utf8) }
        let sandbox = try Sandbox()
        mkdir(sandbox.path("sticky"), 0o1777)
        chmod(sandbox.path("sticky"), 0o1777)
        #expect(try asStranger(sandbox, "semq acquire -q sticky/theirs.queue -- true").status == .exited(0))
        let result = try sandbox.semq("acquire", "sticky/theirs.queue", "--", "echo", "in")
        #expect(result == .init(status: .exited(0), out: "in\n", err: ""))
        #expect(try sandbox.semq("acquire", "-q", "sticky/ours.queue", "--", "true").status == .exited(0))
        let back = try asStranger(sandbox, "semq acquire sticky/ours.queue -- echo in")
        #expect(back == .init(status: .exited(0), out: "in\n", err: ""))
        for name in ["theirs", "ours"] {
            #expect(sandbox.lines("sticky/\(name).queue.history").count { $0.contains("\"granted\"") } == 2, "\(name)")
        }
    }
}
