import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// On a full disk no queue can be made; one that is there goes on granting and releasing.
@Suite(.serialized) struct FullDiskTests {
    private func disk(_ size: String) throws -> Sandbox {
        let sandbox = try Sandbox()
        try sandbox.mount("mount -t tmpfs -o size=\(size) none \"$1\"")
        return sandbox
    }

    @Test(arguments: ["4k", "8k", "16k"]) func noQueueIsMade(_ size: String) throws {
        guard Machine.has(.root) else { return }
        let sandbox = try disk(size)
        let result = try sandbox.semq("acquire", "mounted/board.queue", "--", "touch", "ran")
        #expect(result.status == .exited(73))
        #expect(result.err == "semq: mounted/board.queue: can't write the queue file: No space left on device\n")
        #expect(!sandbox.exists("ran"))
        // Nor by the next one, which finds an empty file.
        #expect(try sandbox.semq("acquire", "mounted/board.queue", "--", "touch", "ran") == result)
        #expect(!sandbox.exists("ran"))
        // What is left is as if it had only been touched, and becomes a queue when there is room.
        #expect(sandbox.read("mounted/board.queue").isEmpty)
        #expect(try sandbox.shell("mount -o remount,size=1m \(sandbox.path("mounted"))").status == .exited(0))
        #expect(try sandbox.semq("acquire", "-q", "mounted/board.queue", "--", "true").status == .exited(0))
        #expect(try sandbox.semq("status", "mounted/board.queue").out == "mounted/board.queue: free, nobody waits\n")
    }

    @Test func doctorSaysThatNoneCanBeMade() throws {
        guard Machine.has(.root) else { return }
        let sandbox = try disk("64k")
        #expect(try sandbox.semq("doctor", "mounted").status == .exited(0))
        _ = try sandbox.shell("dd if=/dev/zero of=mounted/filler bs=4k 2>/dev/null")
        let doctor = try sandbox.semq("doctor", "mounted")
        #expect(doctor.status == .exited(65))
        #expect(doctor.out.hasPrefix("BAD   folder       mounted: No space left on device; no queue"), "\(doctor.out)")
    }

    /// As the acquires that fail do.
    @Test(arguments: ["4k", "8k", "16k"]) func doctorSaysThatAnEmptyFileCannotBeMadeAQueue(_ size: String) throws {
        guard Machine.has(.root) else { return }
        let sandbox = try disk(size)
        let queue = "mounted/board.queue"
        let missing = try sandbox.semq("doctor", queue)
        #expect(missing.status == .exited(65))
        #expect(
            missing.out.contains(/BAD +file +.*: not there, and mounted: No space left on device/), "\(missing.out)")
        #expect(try sandbox.semq("acquire", queue, "--", "true").status == .exited(73))
        let doctor = try sandbox.semq("doctor", queue)
        #expect(doctor.status == .exited(65))
        #expect(
            doctor.out.contains(/BAD +records +empty, and can't be made a queue: No space left on device/),
            "\(doctor.out)")
        #expect(!doctor.out.contains("turns go on"))
        #expect(try sandbox.shell("mount -o remount,size=1m \(sandbox.path("mounted"))").status == .exited(0))
        #expect(try sandbox.semq("doctor", queue).status == .exited(0))
    }

    /// The disk fills up at another point each time: between the records of holders, which have their
    /// room from the start, and those of waiters and the history, which have not.
    @Test(arguments: [0, 1, 2, 3, 5]) func queueGoesOnOnAFullDisk(_ freePages: Int) throws {
        guard Machine.has(.root) else { return }
        let sandbox = try disk("1m")
        let oracle = try Oracle(sandbox)
        _ = try sandbox.semq("acquire", "-q", "mounted/board.queue", "--", "true")
        let fill =
            "dd if=/dev/zero of=mounted/filler bs=4k 2>/dev/null; truncate -s -\(freePages * 4096) mounted/filler"
        #expect(try sandbox.shell(fill).status == .exited(0))
        let all = try (1...6).map { number in
            let words = [Sandbox.binary, "acquire", "-q", "mounted/board.queue", "--"] + oracle.words
            let running = try sandbox.start(words + ["\(number)", number == 1 ? "go" : ""])
            // Without a record they are known by their locks alone.
            #expect(
                Event.happens {
                    guard let status = try? sandbox.semq("status", "--json", "mounted/board.queue").out else {
                        return false
                    }
                    return status.components(separatedBy: "\"ticket\"").count == number + 1
                })
            return running
        }
        let busy = try sandbox.semq("acquire", "-n", "mounted/board.queue", "--", "true")
        #expect(busy.status == .exited(75))
        #expect(busy.err.contains(" go\n"), "the holder's record has its room: \(busy.err)")
        try sandbox.write("go", "")
        for running in all { #expect(running.wait().status == .exited(0)) }
        #expect(oracle.names == ["1", "2", "3", "4", "5", "6"])
        #expect(oracle.complaint == nil)
        #expect(try sandbox.semq("status", "mounted/board.queue").out == "mounted/board.queue: free, nobody waits\n")
        let set = try sandbox.semq("set", "mounted/board.queue", "--concurrency", "2")
        #expect(set.status == .exited(0), "the header's room is there: \(set.err)")
    }

    /// Who waits without a record has its place from the kernel, is told why it isn't known, and writes the record
    /// when there is room.
    @Test func placesAreKnownWithoutRecords() throws {
        guard Machine.has(.root) else { return }
        let sandbox = try disk("64k")
        let queue = "mounted/board.queue"
        _ = try sandbox.semq("acquire", "-q", queue, "--", "true")
        _ = try sandbox.shell("dd if=/dev/zero of=mounted/filler bs=1k 2>/dev/null")
        let holder = try sandbox.starting("acquire", "-q", "-m", "holder", queue, "--", "sleep", "600")
        func status() -> String { (try? sandbox.semq("status", queue).out) ?? "" }
        #expect(Event.happens { status().contains("holder") })
        let waiters = try (1...3).map { number in
            let waiter = try sandbox.starting("acquire", "-m", "job \(number)", queue, "--", "true")
            #expect(Event.happens { status().contains(", \(number) waiting") })
            return waiter
        }
        for (waiter, place) in zip(waiters, ["next", "2nd", "3rd"]) {
            #expect(
                Event.happens { waiter.err.contains("semq: \(queue): \(place) in line; held by ") }, "\(waiter.err)")
            let why =
                "semq: \(queue): can't write who waits into the queue file: No space left on device; "
                + "the place in line counts all the same\n"
            #expect(Event.happens { waiter.err.contains(why) }, "\(waiter.err)")
        }
        #expect(status().components(separatedBy: "(record unreadable)").count == 4)
        let doctor = try sandbox.semq("doctor", queue)
        #expect(doctor.status == .exited(0) && doctor.out.contains(/\nnote  space +No space left on device/))
        unlink(sandbox.path("mounted/filler"))
        #expect(Event.happens { status().contains("job 1\n") && status().contains("job 2\n") }, "\(status())")
        holder.send(SIGTERM)
        for waiter in waiters { #expect(waiter.wait().status == .exited(0)) }
    }

    /// The disk is full from the n-th write on, n rising over all writes of each process of an acquire,
    /// straight through or behind another, and of its release.
    @Test(arguments: [false, true]) func everyWriteMayFail(isQueued: Bool) throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        let sandbox = try Sandbox()
        let oracle = try Oracle(sandbox, seconds: 0)
        let queue = sandbox.path("board.queue")
        _ = try sandbox.semq("acquire", "-q", queue, "--", "true")
        var failing = 0
        for number in 1...100 {
            let go = "go-\(number)"
            let first = try sandbox.start([Sandbox.binary, "acquire", queue, "--"] + oracle.words + ["\(number)", go])
            #expect(Event.happens { oracle.names.count == 2 * number - 1 })
            if !isQueued { try finish(sandbox, first, go) }
            let inject = ["pwrite64:error=ENOSPC", "write:error=ENOSPC"].flatMap {
                ["-e", "inject=\($0):when=\(number)+"]
            }
            let run = try sandbox.start(
                ["strace", "-f", "-o", "trace", "-P", queue, "-P", queue + ".history"] + inject
                    + [Sandbox.binary, "acquire", queue, "--"] + oracle.words + ["after \(number)"])
            if isQueued {
                #expect(Event.happens { (try? sandbox.semq("status", queue).out.contains("1 waiting")) == true })
                try finish(sandbox, first, go)
            }
            #expect(run.wait().status == .exited(0), "from write \(number) on: \(run.err)")
            #expect(try sandbox.semq("acquire", "-n", "-q", queue, "--", "true").status == .exited(0))
            guard sandbox.read("trace").contains("ENOSPC") else { break }
            failing += 1
        }
        #expect(failing >= (isQueued ? 4 : 2))
        #expect(oracle.complaint == nil)
    }

    /// What can't be written down is not done, and can be done when there is room: nothing is lost meanwhile.
    @Test func whatCannotBeWrittenIsNotDone() throws {
        guard Machine.has(.program("strace", package: "strace")) else { return }
        let sandbox = try Sandbox()
        let queue = sandbox.path("board.queue")
        let holder = try sandbox.starting("acquire", "-m", "works", queue, "--", "sleep", "600")
        #expect(Event.happens { (try? sandbox.semq("status", queue).out.contains("works")) == true })
        let waiter = try sandbox.starting("acquire", "-m", "next", queue, "--", "true")
        func status() throws -> String { try sandbox.semq("status", "--json", queue).out }
        #expect(Event.happens { (try? status().contains("next")) == true })
        let before = try status()
        let deeds: [(words: [String], says: String)] = [
            (
                ["release", "--ticket", "1", "--reason", "fire drill"],
                "can't leave a message in the queue file: No space left on device"
            ),
            (
                ["release", "--ticket", "2", "--reason", "fire drill"],
                "can't leave a message in the queue file: No space left on device"
            ),
            (["set", "--pause", "recabling"], "can't write the queue file: No space left on device"),
            (["set", "--concurrency", "2"], "can't write the queue file: No space left on device"),
            (["set", "--resume"], "can't write the queue file: No space left on device"),
        ]
        for (words, says) in deeds {
            let inject = ["pwrite64", "write"].flatMap { ["-e", "inject=\($0):error=ENOSPC"] }
            let result = try sandbox.start(
                ["strace", "-f", "-o", "trace", "-P", queue, "-P", queue + ".history"] + inject + [Sandbox.binary]
                    + words + [queue]
            ).wait()
            #expect(result == .init(status: .exited(74), out: "", err: "semq: \(queue): \(says)\n"), "\(words)")
            #expect(try status() == before, "\(words)")
        }
        #expect(try sandbox.semq("release", queue, "--ticket", "1", "--reason", "fire drill").status == .exited(0))
        #expect(holder.wait().status == .exited(76))
        #expect(waiter.wait().status == .exited(0))
    }

    /// The queue file has room for sixteen messages to those whose turn is ended; one more is refused, and can be left
    /// when one of them has gone.
    @Test func thereIsRoomForSixteenMessages() throws {
        let sandbox = try Sandbox()
        let queue = "board.queue"
        func waiting() -> Int {
            let status = (try? sandbox.semq("status", "--json", queue).out) ?? ""
            return status.components(separatedBy: "\"ticket\"").count - 2
        }
        let holder = try sandbox.starting("acquire", "-q", queue, "--", "sleep", "600")
        #expect(Event.happens { waiting() == 0 })
        let waiters = try (1...17).map { number in
            let waiter = try sandbox.starting("acquire", "-q", queue, "--", "true")
            #expect(Event.happens { waiting() == number })
            return waiter
        }
        // They hear nothing of it yet.
        for waiter in waiters { waiter.send(SIGSTOP) }
        func release(_ ticket: Int) throws -> Running {
            try sandbox.starting("release", queue, "--ticket", "\(ticket)", "--reason", "enough", "--grace", "3600")
        }
        func messages() -> Int { sandbox.lines(queue).count { $0.contains("enough") } }
        let releases = try (1...16).map { number in
            let release = try release(number + 1)
            #expect(Event.happens { messages() == number })
            return release
        }
        let refused = try release(18).wait()
        #expect(
            refused
                == .init(
                    status: .exited(74), out: "",
                    err: "semq: board.queue: can't leave a message in the queue file: "
                        + "16 others have not been heard yet; try again when they have gone\n"))
        for waiter in waiters { waiter.send(SIGCONT) }
        for (waiter, release) in zip(waiters, releases) {
            #expect(release.wait().status == .exited(0), "\(release.err)")
            #expect(waiter.wait().status == .exited(76), "\(waiter.err)")
        }
        #expect(try release(18).wait().status == .exited(0))
        #expect(waiters[16].wait().status == .exited(76))
        #expect(!holder.hasEnded)
        #expect(try release(1).wait().status == .exited(0))
        #expect(holder.wait().status == .exited(76))
    }

    /// `ulimit -f`: a write beyond it would kill whoever writes. The command finds it as it was.
    @Test(arguments: [0, 1, 8, 16]) func limitOfFileSizeStopsNothing(_ kilobytes: Int) throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        let run = try sandbox.shell(
            "ulimit -c 0; ulimit -f \(kilobytes); exec semq acquire -q board.queue -- bash -c 'echo in >&2'")
        #expect(run.status == .exited(0) || kilobytes == 0)
        let dead = try sandbox.shell(
            "ulimit -c 0; ulimit -f \(kilobytes); exec semq acquire -q board.queue -- bash -c 'kill -XFSZ $$'")
        #expect(dead.status == .signaled(SIGXFSZ))
        #expect(try sandbox.semq("status", "board.queue").out == "board.queue: free, nobody waits\n")
        let new = try sandbox.shell("ulimit -f \(kilobytes); exec semq acquire -q new.queue -- true")
        if kilobytes < 16 {
            #expect(new.status == .exited(73))
            // Standard error is a file here.
            let said = kilobytes == 0 ? "" : "semq: new.queue: can't write the queue file: File too large\n"
            #expect(new.err == said)
        }
    }

    /// Each look finds it anew.
    @Test func aLostHeaderThatCanNotBeWrittenIsToldOfOnce() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        try sandbox.write("board.queue.remote", "")
        _ = try sandbox.shell("dd if=/dev/zero of=board.queue bs=1024 count=1 conv=notrunc")
        _ = try sandbox.shell("(ulimit -f 0; exec semq acquire -w 1.5 board.queue -- true) 2>&1 | cat > said")
        #expect(sandbox.lines("said").count { $0.contains("nobody is granted for") } == 1, "\(sandbox.read("said"))")
    }

    private func finish(_ sandbox: Sandbox, _ running: Running, _ go: String) throws {
        try sandbox.write(go, "")
        #expect(running.wait().status == .exited(0))
    }
}
