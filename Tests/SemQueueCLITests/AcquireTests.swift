import Glibc
import SemQueueTestSupport
import Testing

/// `semq acquire` in good order.
@Suite struct AcquireTests {
    @Test func commandRunsUnderThePermitAndItsExitCodeIsOurs() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq(
            "acquire", "-q", "board.queue", "--", "sh", "-c", "echo $SEMQ_SEMAPHORE $SEMQ_TICKET $SEMQ_SLOT; exit 7")
        #expect(result == .init(status: .exited(7), out: "board.queue 1 0\n", err: ""))
    }

    @Test(arguments: [SIGUSR1, SIGTERM, SIGKILL, SIGINT, SIGABRT])
    func deathBySignalIsPassedOn(_ signal: Int32) throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq("acquire", "-q", "board.queue", "--", "sh", "-c", "kill -\(signal) $$")
        #expect(result == .init(status: .signaled(signal), out: "", err: ""))
        #expect(try sandbox.isFree())
    }

    @Test func nonblockFindsTheQueueBusyAndSaysWhoHolds() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-m", "flashing", "board.queue", "--", "sleep", "60")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("flashing")) == true })
        let result = try sandbox.semq("acquire", "-n", "board.queue", "--", "true")
        #expect(result.status == .exited(75))
        #expect(result.err.contains("board.queue: busy: held by "))
        #expect(result.err.contains(": flashing\n"))
        holder.send(SIGTERM)
        #expect(holder.wait().status == .signaled(SIGTERM))
        #expect(try sandbox.semq("acquire", "-n", "board.queue", "--", "true").status == .exited(0))
    }

    @Test func nonblockDrawsNoTicketAndLeavesNoTrace() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sh", "-c", "echo > in; exec sleep 60")
        try #require(Event.happens { sandbox.exists("in") })
        let file = sandbox.bytes("board.queue")
        for _ in 0..<3 {
            #expect(try sandbox.semq("acquire", "-n", "board.queue", "--", "touch", "ran").status == .exited(75))
        }
        #expect(sandbox.bytes("board.queue") == file)
        #expect(!sandbox.exists("ran"))
        holder.stop()
        let result = try sandbox.semq("acquire", "-q", "board.queue", "--", "sh", "-c", "echo $SEMQ_TICKET")
        #expect(result.out == "2\n")
    }

    @Test func conflictExitCodeTakesThePlaceOf75() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        for code: Int32 in [0, 1, 255] {
            for option in ["-E\(code)", "--conflict-exit-code=\(code)"] {
                let result = try sandbox.semq("acquire", "-q", "-n", option, "board.queue", "--", "true")
                #expect(result == .init(status: .exited(code), out: "", err: ""))
                let late = try sandbox.semq("acquire", "-q", "-w", "0.01", option, "board.queue", "--", "true")
                #expect(late == .init(status: .exited(code), out: "", err: ""))
            }
        }
        holder.stop()
        #expect(try sandbox.semq("acquire", "-n", "-E", "9", "board.queue", "--", "true").status == .exited(0))
    }

    @Test func flocksNamesForNonblockAndWaitAreUnderstood() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding()
        #expect(try sandbox.semq("acquire", "--nb", "board.queue", "--", "true").status == .exited(75))
        #expect(try sandbox.semq("acquire", "--nonblock", "board.queue", "--", "true").status == .exited(75))
        let late = try sandbox.semq("acquire", "--timeout", "0.05", "board.queue", "--", "true")
        #expect(late.status == .exited(75))
        #expect(late.err.contains("board.queue: not granted in time: held by "))
        holder.stop()
    }

    @Test func aCommandLineRunsInTheUsersShell() throws {
        let sandbox = try Sandbox()
        let line = "for word in a b; do echo \"$word\"; done | tr ab cd; exit 3"
        for option in ["-c", "--command"] {
            let result = try sandbox.semq(
                "acquire", "-q", option, line, "board.queue", environment: ["SHELL": "/bin/sh"])
            #expect(result == .init(status: .exited(3), out: "c\nd\n", err: ""))
        }
        try sandbox.executable("shell", "#!/bin/sh\necho \"$@\"\n")
        let result = try sandbox.semq(
            "acquire", "-q", "board.queue", "-c", "x y", environment: ["SHELL": sandbox.path("shell")])
        #expect(result.out == "-c x y\n")
        let none = try sandbox.semq("acquire", "-q", "board.queue", "-c", "echo $0", environment: ["SHELL": ""])
        #expect(none.out == "/bin/sh\n")
    }

    @Test func argumentsReachTheCommandAsTheyAre() throws {
        let sandbox = try Sandbox()
        let odd = ["", " a  b ", "*", "$HOME", "--", "-n", "'\"", "a\nb", "ü"]
        let words = ["acquire", "-q", "board.queue", "--", "printf", "[%s]"]
        let result = try sandbox.start([Sandbox.binary] + words + odd).wait()
        #expect(result.out == odd.map { "[\($0)]" }.joined())
    }

    @Test func argumentsThatAreNoUTF8ReachTheCommandToo() throws {
        let sandbox = try Sandbox()
        // A file name in Latin-1.
        _ = try sandbox.shell("echo content > $'caf\\xe9'")
        #expect(try sandbox.shell("semq acquire -q q -- cat $'caf\\xe9'").out == "content\n")
        #expect(try sandbox.shell("semq acquire -q q -c $'cat caf\\xe9'").out == "content\n")
    }

    @Test func standardInputIsTheCommands() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.shell("seq 1 100000 | semq acquire -q board.queue -- tail -n 1")
        #expect(result == .init(status: .exited(0), out: "100000\n", err: ""))
        let rest = try sandbox.shell(
            "printf '%s\\n' one two three | (semq acquire -q board.queue -- sh -c 'read a; echo $a'; cat)")
        #expect(rest.out == "one\ntwo\nthree\n", "semq itself reads nothing")
    }

    @Test func tokensRiseFromGrantToGrantAndTicketsCountUp() throws {
        let sandbox = try Sandbox()
        var tokens: [Int] = []
        for number in 1...5 {
            let result = try sandbox.semq(
                "acquire", "-q", "board.queue", "--", "sh", "-c", "echo $SEMQ_TICKET $SEMQ_TOKEN")
            let words = result.out.split { " \n".contains($0) }.compactMap { Int($0) }
            try #require(words.count == 2)
            #expect(words[0] == number)
            tokens.append(words[1])
        }
        #expect(tokens == tokens.sorted() && Set(tokens).count == 5)
    }

    @Test func makingAQueueIsSaidWithHostAndPathAndOnlyOnce() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq("acquire", "--concurrency", "3", "board.queue", "--", "true")
        var host = [CChar](repeating: 0, count: 256)
        gethostname(&host, 255)
        let name = String(decoding: host.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        #expect(result.err == "semq: made the queue \(name):\(sandbox.path("board.queue")), concurrency 3\n")
        #expect(try sandbox.semq("acquire", "board.queue", "--", "true").err == "")
        #expect(sandbox.view()?.concurrency == 3)
    }

    @Test func existingRefusesToMakeTheQueue() throws {
        let sandbox = try Sandbox()
        let words = ["acquire", "--existing", "board.queue", "--", "touch", "ran"]
        let result = try sandbox.start([Sandbox.binary] + words).wait()
        let sentence = "semq: board.queue: there is no such queue, and --existing makes none\n"
        #expect(result == .init(status: .exited(73), out: "", err: sentence))
        #expect(!sandbox.exists("board.queue") && !sandbox.exists("ran"))
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        #expect(try sandbox.start([Sandbox.binary] + words).wait() == .init(status: .exited(0), out: "", err: ""))
    }

    @Test func aContradictingConcurrencyIsRefusedUntilSomebodyHasSetIt() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "--concurrency", "2", "board.queue", "--", "true")
        #expect(try sandbox.semq("acquire", "--concurrency", "2", "board.queue", "--", "true").status == .exited(0))
        let result = try sandbox.semq("acquire", "--concurrency", "3", "board.queue", "--", "touch", "ran")
        let sentence =
            "semq: board.queue: this queue was made with concurrency 2, not 3; "
            + "leave --concurrency out, or change it for all: semq set board.queue --concurrency 3\n"
        #expect(result == .init(status: .exited(64), out: "", err: sentence))
        #expect(!sandbox.exists("ran"))
        _ = try sandbox.semq("set", "board.queue", "--concurrency", "4")
        #expect(try sandbox.semq("acquire", "--concurrency", "3", "board.queue", "--", "true").status == .exited(0))
        #expect(sandbox.view()?.concurrency == 4)
    }

    @Test func asManyHoldAsTheConcurrencySays() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("set", "board.queue", "--concurrency", "3")
        let holders = try (0..<3).map { try sandbox.holding(as: "holder \($0)") }
        #expect(sandbox.view()?.holders.compactMap(\.slot).sorted() == [0, 1, 2])
        #expect(try !sandbox.isFree())
        holders[1].stop()
        let result = try sandbox.semq("acquire", "-q", "-n", "board.queue", "--", "sh", "-c", "echo $SEMQ_SLOT")
        #expect(result.out == "1\n")
        for holder in holders { holder.stop() }
    }
}
