import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// The queue file is deleted or replaced, which nobody should do: a holder loses its permit and its
/// command is ended, waiters move on to the file that is there now.
@Suite struct ReplacedFileTests {
    @Test(arguments: [
        "rm board.queue", "rm board.queue; semq set board.queue --concurrency 1",
        "semq acquire -q other -- true; mv other board.queue", "mv board.queue away",
        "rm board.queue; mkdir board.queue", "rm board.queue; ln -s elsewhere board.queue",
    ]) func holderNoticesWithinASecond(_ how: String) throws {
        let sandbox = try Sandbox()
        let line = "trap 'echo asked >> log; exit 0' TERM; echo in >> log; while :; do sleep 0.01; done"
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sh", "-c", line)
        #expect(Event.happens { sandbox.exists("log") })
        let start = Date()
        #expect(try sandbox.shell(how).status == .exited(0))
        let result = holder.wait()
        #expect(Date().timeIntervalSince(start) < 3, "a second, on a loaded machine")
        #expect(result.status == .exited(76))
        #expect(
            result.err.contains(
                "semq: board.queue: the lock is lost, because the queue file was deleted or replaced "
                    + "while it was held; the command is told to end\n"))
        #expect(sandbox.lines("log") == ["in", "asked"])
    }

    /// A name from inside of the folder would follow it.
    @Test func aFolderThatIsMovedTakesNobodyAlong() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.shell("mkdir lab").status == .exited(0))
        let holder = try sandbox.startingShell(
            "cd lab; exec semq acquire -q board.queue -- sh -c 'echo in > in; sleep 600'")
        #expect(Event.happens { sandbox.exists("lab/in") })
        let waiter = try sandbox.startingShell("cd lab; exec semq acquire board.queue -- sh -c 'echo $SEMQ_TICKET'")
        #expect(Event.happens { (try? sandbox.semq("status", "lab/board.queue").out.contains("1 waiting")) == true })
        #expect(try sandbox.shell("mv lab away; mkdir lab").status == .exited(0))
        let next = try sandbox.semq("acquire", "-q", "-w", "20", "lab/board.queue", "--", "true")
        #expect(next.status == .exited(0))
        #expect(holder.wait().status == .exited(76))
        let result = waiter.wait()
        #expect(result.status == .exited(0))
        #expect(sandbox.lines("lab/board.queue.history").contains { $0.contains("\"granted\"") })
        #expect(try sandbox.semq("status", "away/board.queue").out.contains("free"))
        let events = sandbox.lines("lab/board.queue.history").count { $0.contains("\"event\": \"granted\"") }
        #expect(events == 2, "both the new one and the waiter: \(result.err)")
    }

    /// Its name from the root is no text, so the one that was given counts.
    @Test func aFolderWhoseNameIsNoTextIsServedToo() throws {
        let sandbox = try Sandbox()
        let line =
            #"mkdir $'caf\351'; cd $'caf\351'; exec semq acquire -q q -- sh -c 'echo in > ../in; exec sleep 600'"#
        let holder = try sandbox.startingShell(line)
        #expect(Event.happens { sandbox.exists("in") }, "\(holder.err)")
        #expect(try sandbox.shell("rm caf*/q").status == .exited(0))
        #expect(holder.wait().status == .exited(76))
    }

    /// Nobody of these could find the place again.
    @Test func aFolderWhoseNameIsNoTextTakesNobodyAlong() throws {
        let sandbox = try Sandbox()
        let line =
            #"mkdir -p $'caf\351'; cd $'caf\351'; exec semq acquire -q q -- sh -c 'echo in > ../in; exec sleep 600'"#
        let holder = try sandbox.startingShell(line)
        #expect(Event.happens { sandbox.exists("in") }, "\(holder.err)")
        let waiter = try sandbox.startingShell(#"cd $'caf\351'; exec semq acquire -v q -- echo in"#)
        #expect(Event.happens { waiter.err.contains("next in line") }, "\(waiter.err)")
        #expect(try sandbox.shell("mv caf* away; mkdir $'caf\\351'").status == .exited(0))
        #expect(holder.wait().status == .exited(76))
        let refused = waiter.wait()
        #expect(refused.status == .exited(74) && refused.out == "", "\(refused)")
        #expect(refused.err.contains("its folder was moved or replaced just now; try again"), "\(refused.err)")
    }

    /// In the history that the new file goes on with, a turn of the old one is no turn that was given back.
    @Test func theHistorySaysThatTheTurnWasLost() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-q", "-m", "old", "board.queue", "--", "sleep", "60")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("held")) == true })
        unlink(sandbox.path("board.queue"))
        #expect(try sandbox.semq("acquire", "-q", "-m", "new", "board.queue", "--", "true").status == .exited(0))
        #expect(holder.wait().status == .exited(76))
        let lines = try sandbox.semq("history", "board.queue").out.split(separator: "\n")
        let old = lines.filter { $0.contains(": old") }
        #expect(old.count == 2 && old[0].contains("  granted  "), "\(lines)")
        #expect(
            old.last?.contains(/lost        #1 .*: old \(the queue file was deleted or replaced\)$/) == true,
            "\(lines)")
        #expect(lines.count { $0.contains("  released  ") && $0.contains(": new") } == 1)
    }

    /// Nor is a history begun for what is gone, by somebody who may be another user.
    @Test func noHistoryIsMadeForAFileThatIsGone() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sleep", "60")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("held")) == true })
        #expect(try sandbox.shell("rm board.queue board.queue.history").status == .exited(0))
        #expect(holder.wait().status == .exited(76))
        #expect(!sandbox.exists("board.queue.history"))
    }

    /// A command that doesn't heed SIGTERM is killed, and with it what it started.
    @Test func theWholeTreeIsEnded() throws {
        let sandbox = try Sandbox()
        let line =
            "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > inner; while :; do sleep 0.1; done' & wait; while :; do sleep 0.1; done"
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sh", "-c", line)
        #expect(Event.happens { !sandbox.read("inner").isEmpty })
        let inner = try #require(pid_t(sandbox.lines("inner")[0]))
        unlink(sandbox.path("board.queue"))
        #expect(holder.wait().status == .exited(76))
        #expect(Event.happens { Machine.state(of: inner) == nil })
    }

    @Test func holdingWithoutACommandIsLostToo() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.startingShell("exec semq acquire -q board.queue < <(exec sleep 60)")
        #expect(Event.happens { holder.out.contains("acquired ") })
        unlink(sandbox.path("board.queue"))
        let result = holder.wait()
        #expect(result.status == .exited(76))
        #expect(result.err.contains("board.queue: the lock is lost"))
    }

    @Test func waitersMoveToTheNewFile() throws {
        let sandbox = try Sandbox()
        let oracle = try Oracle(sandbox)
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sleep", "60")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("held")) == true })
        let waiters = try (1...3).map { number in
            let waiter = try sandbox.start(
                [Sandbox.binary, "acquire", "-q", "board.queue", "--"] + oracle.words + ["\(number)"])
            #expect(
                Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("\(number) waiting")) == true }
            )
            return waiter
        }
        // Replaced in one step by one that somebody else holds: nobody is let in there before that one is done.
        let other = try sandbox.start(
            [Sandbox.binary, "acquire", "-q", "new.queue", "--"] + oracle.words + ["other", "go"])
        #expect(Event.happens { oracle.names == ["other"] })
        // By a second name of it, so that the other one keeps its own.
        #expect(link(sandbox.path("new.queue"), sandbox.path("second")) == 0)
        #expect(rename(sandbox.path("second"), sandbox.path("board.queue")) == 0)
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("held, 3 waiting")) == true })
        #expect(holder.wait().status == .exited(76))
        #expect(oracle.names == ["other"])
        try sandbox.write("go", "")
        #expect(other.wait().status == .exited(0))
        for waiter in waiters { #expect(waiter.wait().status == .exited(0), "\(waiter.err)") }
        #expect(Set(oracle.names) == ["other", "1", "2", "3"])
    }

    @Test func waiterMakesTheFileAnewWhereItIsGone() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sleep", "60")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("held")) == true })
        let waiter = try sandbox.starting("acquire", "board.queue", "--", "echo", "in")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("1 waiting")) == true })
        unlink(sandbox.path("board.queue"))
        let result = waiter.wait()
        #expect(result.status == .exited(0) && result.out == "in\n")
        #expect(result.err.contains("made the queue "))
        #expect(holder.wait().status == .exited(76))
        #expect(try sandbox.semq("status", "board.queue").out == "board.queue: free, nobody waits\n")
    }

    /// Told not to make a queue, a waiter doesn't make one anew either.
    @Test func waiterForAnExistingQueueEndsWhenItIsGone() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sleep", "60")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("held")) == true })
        let waiter = try sandbox.starting("acquire", "-q", "--existing", "board.queue", "--", "echo", "in")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("1 waiting")) == true })
        unlink(sandbox.path("board.queue"))
        let result = waiter.wait()
        #expect(result.status == .exited(73) && result.out.isEmpty)
        #expect(result.err.hasPrefix("semq: board.queue: there is no such queue"))
        #expect(holder.wait().status == .exited(76))
        #expect(!sandbox.exists("board.queue"))
    }
}
