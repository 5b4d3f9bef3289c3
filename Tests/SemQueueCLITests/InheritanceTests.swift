import SemQueueTestSupport
import Testing

/// The command is started with what `semq` was started with: descriptors, signals, limits.
@Suite struct InheritanceTests {
    @Test(arguments: ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
    func standardDescriptorsThatAreClosedStayClosed(_ closed: String) throws {
        let sandbox = try Sandbox()
        let script = "for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && echo $n; done >> open; echo out; echo err >&2; exit 8"
        try sandbox.executable("command", "#!/bin/bash\n\(script)\n")
        let plain = try sandbox.shell("exec ./command \(closed)")
        try #require(plain.status == .exited(8))
        let expected = sandbox.read("open")
        let result = try sandbox.shell("exec semq acquire q -- ./command \(closed)")
        #expect(result.status == .exited(8))
        #expect(result.out == plain.out)
        #expect(sandbox.read("open") == expected + expected)
        #expect(try sandbox.isFree("q"))
        #expect(sandbox.view("q") != nil, "nothing was written into the queue")
    }

    @Test func theCommandFindsNoDescriptorOfOursBelow100() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let list = "for fd in /proc/$$/fd/*; do n=${fd##*/}; [ $n -lt 100 ] && echo $n; done"
        let plain = try sandbox.shell("exec 5</dev/null; bash -c '\(list)'")
        try #require(plain.out.contains("5\n"))
        // One that waits goes another way than one that goes straight through.
        let waiter = try sandbox.startingShell(
            "exec 5</dev/null; exec semq acquire -q -m waiter q -- bash -c '\(list)'")
        #expect(sandbox.queue("q") { !$0.waiting.isEmpty })
        holder.stop()
        #expect(waiter.wait() == plain)
        let direct = try sandbox.shell("exec 5</dev/null; semq acquire -q q -- bash -c '\(list)'")
        #expect(direct == plain)
    }

    @Test(arguments: [
        "", "--ignore-signal=PIPE", "--ignore-signal=CHLD", "--ignore-signal=HUP,INT,QUIT,TSTP,TERM",
        "--block-signal=USR1,USR2,TERM", "--block-signal=TSTP,CHLD,URG", "--ignore-signal",
    ])
    func signalsAreIgnoredAndBlockedForTheCommandAsForSemq(_ option: String) throws {
        let sandbox = try Sandbox()
        let show = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status"
        let plain = try sandbox.shell("exec env \(option) \(show)")
        try #require(plain.out.split(separator: "\n").count == 3)
        #expect(try sandbox.shell("exec env \(option) semq acquire -q q -- \(show)") == plain)
        let holder = try sandbox.holding("q")
        let waiter = try sandbox.startingShell("exec env \(option) semq acquire -q q -- \(show)")
        #expect(sandbox.queue("q") { !$0.waiting.isEmpty })
        holder.stop()
        #expect(waiter.wait() == plain, "also for one that has waited")
    }

    @Test func limitsAndWorkingFolderAreInherited() throws {
        let sandbox = try Sandbox()
        let show = "pwd; ulimit -a; umask; nice"
        let plain = try sandbox.shell("umask 027; ulimit -c 7; exec nice -n 3 bash -c '\(show)'")
        #expect(
            try sandbox.shell("umask 027; ulimit -c 7; exec nice -n 3 semq acquire -q q -- bash -c '\(show)'") == plain)
    }

    @Test func aBrokenPipeEndsTheCommandAsWithoutSemq() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.shell("semq acquire -q q -- yes | head -n 1; echo ${PIPESTATUS[0]}")
        #expect(result == .init(status: .exited(0), out: "y\n141\n", err: ""))
    }

    /// What semq has to say is not worth the command's exit code.
    @Test(arguments: [false, true]) func aReaderOfMessagesThatIsGoneEndsNobody(waits: Bool) throws {
        let sandbox = try Sandbox()
        try #require(sandbox.semq("acquire", "-q", "q", "--", "true").status == .exited(0))
        let holder = waits ? try sandbox.holding("q") : nil
        let left = "until [ -e told ]; do sleep 0.02; done"
        let command = "trap '' PIPE; : > in; until [ -e gone ]; do sleep 0.02; done; (\(left)) & exit 3"
        let reader = "until [ -e in ]; do sleep 0.02; done; exec <&-; : > gone"
        let running = try sandbox.startingShell("semq acquire q -- bash -c \"\(command)\" 2> >(\(reader)); echo $?")
        if waits { #expect(sandbox.queue("q") { !$0.waiting.isEmpty }) }
        holder?.stop()
        // Then `semq` says so, too, or would.
        #expect(sandbox.queue("q") { $0.holders.first?.remark?.contains("still runs") == true || running.hasEnded })
        try sandbox.write("told", "")
        #expect(running.wait().out == "3\n")
    }

    @Test func theReaderOfAPipeSeesItsEndWhenTheCommandClosesIt() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("go")
        let semq = try sandbox.startingShell(
            "semq acquire -q q -- bash -c 'echo last; exec >&-; read x < go' | (cat > copied; : > ended)")
        #expect(Event.happens { sandbox.exists("ended") }, "semq and its guardian keep no end of the pipe open")
        #expect(sandbox.read("copied") == "last\n")
        try sandbox.open("go")
        semq.wait()
    }
}
