import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// `semq status`: a table for people, JSON for programs, and both live.
@Suite struct StatusTests {
    /// A pool of two, both held, and two waiting, one of them with a priority.
    private func busy(_ sandbox: Sandbox) throws -> [Running] {
        _ = try sandbox.semq("set", "q", "--concurrency", "2")
        return [
            try sandbox.holding("q", as: "first"), try sandbox.holding("q", as: "second"),
            try sandbox.waiting("q", as: "third"), try sandbox.waiting("q", as: "fourth", "--priority", "5"),
        ]
    }

    // MARK: the table

    @Test func theTableShowsWhoHoldsAndWhoWaitsInTheirOrder() throws {
        let sandbox = try Sandbox()
        let members = try busy(sandbox)
        let lines = try sandbox.semq("status", "q").out.split(separator: "\n").map(String.init)
        try #require(lines.count == 6)
        #expect(lines[0] == "q: 2 of 2 held, 2 waiting")
        #expect(lines[1].split(separator: " ") == ["TICKET", "WHO", "PID", "SINCE", "FOR", "WHAT"])
        let rows = [
            ("slot 0  1 ", 0, "first"), ("slot 1  2 ", 1, "second"), ("1.      4 p5 ", 3, "fourth"),
            ("2.      3 ", 2, "third"),
        ]
        for (line, (start, index, what)) in zip(lines[2...], rows) {
            #expect(line.hasPrefix("  " + start))
            #expect(line.contains(#/@\S+ +(\d+)  \d\d:\d\d:\d\d  +\d+s  /#))
            #expect(line.contains(" \(members[index].pid) "))
            #expect(line.hasSuffix("  " + what))
        }
        for member in members { member.stop() }
        #expect(try sandbox.semq("status", "q") == .init(status: .exited(0), out: "q: free, nobody waits\n", err: ""))
    }

    @Test func severalAreShownOneBelowTheOther() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("a")
        _ = try sandbox.semq("acquire", "-q", "b", "--", "true")
        let text = try sandbox.semq("status", "a", "b").out
        #expect(text.hasPrefix("a: held, nobody waits\n"))
        #expect(text.hasSuffix("\n\nb: free, nobody waits\n"))
        holder.stop()
    }

    @Test func aStoppedWaiterIsShownAsSuch() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -m resting q -- true")
        #expect(bash.sees("next in line"))
        bash.type(Pty.suspend)
        #expect(bash.sees("Stopped"))
        let text = try sandbox.semq("status", "q").out
        #expect(text.contains(/\n  stopped  .*  resting\n/))
        holder.stop()
    }

    /// By the shell, with all that it runs.
    @Test func aStoppedHolderIsShownAsSuch() throws {
        let sandbox = try Sandbox()
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq acquire -q -m forgotten q -- sh -c 'echo ready; read line'")
        #expect(bash.sees("ready"))
        #expect(try !sandbox.semq("status", "q").out.contains("stopped"))
        bash.type(Pty.suspend)
        #expect(bash.sees("Stopped"))
        #expect(try sandbox.semq("status", "q").out.contains(/\n  slot 0, stopped  .*  forgotten\n/))
        #expect(try sandbox.semq("status", "--json", "q").out.contains(#""stopped": true}]"#))
        let busy = try sandbox.semq("acquire", "-n", "q", "--", "true").err
        #expect(busy.contains(/held by .* \(pid \d+, stopped\) for \d+s: forgotten\n/), "\(busy)")
        bash.line("fg")
        #expect(bash.sees("semq acquire"))
        #expect(Event.happens { (try? sandbox.semq("status", "q").out.contains("stopped")) == false })
        bash.line("done")
    }

    @Test func lookingChangesNothing() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        let (before, files) = (sandbox.bytes("q"), try FileManager.default.contentsOfDirectory(atPath: sandbox.folder))
        chmod(sandbox.path("q"), 0o444)
        for option in ["--json", "--"] { #expect(try sandbox.semq("status", option, "q").status == .exited(0)) }
        #expect(sandbox.bytes("q") == before)
        let new = try FileManager.default.contentsOfDirectory(atPath: sandbox.folder)
        #expect(new.filter { !$0.hasPrefix(".") }.sorted() == files.filter { !$0.hasPrefix(".") }.sorted())
        holder.stop()
    }

    @Test func anAnswerThatCannotBeWrittenIsAnError() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "q", "--", "true")
        for command in ["status q", "status --json q", "history q", "doctor q", "--help", "acquire q < /dev/null"] {
            let result = try sandbox.shell("semq \(command) > /dev/full")
            let sentence = "semq: can't write to standard output: No space left on device\n"
            #expect(result == .init(status: .exited(74), out: "", err: sentence), "\(command)")
        }
        #expect(try sandbox.isFree("q"))
    }

    // MARK: JSON

    @Test func jsonHasOneObjectALineWithTheseMembers() throws {
        let sandbox = try Sandbox()
        let members = try busy(sandbox)
        _ = try sandbox.semq("set", "q", "--pause", "why \"not\"")
        _ = try sandbox.semq("acquire", "-q", "r", "--", "true")
        let lines = try sandbox.semq("status", "--json", "q", "r").out.split(separator: "\n")
        let objects = try lines.map {
            try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        try #require(objects.count == 2)
        for object in objects {
            #expect(Set(object.keys) == ["semaphore", "concurrency", "paused", "holders", "waiting"])
        }
        let common: Set = ["ticket", "priority", "pid", "host", "user", "description", "since"]
        for holder in try #require(objects[0]["holders"] as? [[String: Any]]) {
            #expect(Set(holder.keys).isSuperset(of: common.union(["slot", "token", "stopped"])))
        }
        for waiter in try #require(objects[0]["waiting"] as? [[String: Any]]) {
            #expect(Set(waiter.keys).isSuperset(of: common))
        }
        #expect(objects[1]["paused"] is NSNull)
        #expect((objects[1]["holders"] as? [Any])?.isEmpty == true)

        let view = try #require(sandbox.view("q"))
        #expect(view.paused?.reason == "why \"not\"")
        #expect(view.holders.map(\.slot) == [0, 1])
        #expect(view.holders.map(\.pid) + view.waiting.map(\.pid) == [0, 1, 3, 2].map { members[$0].pid })
        #expect(view.waiting.map(\.priority) == [5, 0])
        let times = view.holders.map(\.since) + view.waiting.map(\.since) + [view.paused?.since ?? ""]
        for time in times {
            #expect(time.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/) != nil, "RFC 3339")
        }
        for member in members { member.stop() }
    }

    /// Of those whose records are gone the kernel knows that they hold and wait, and in which order.
    @Test func jsonInventsNothingAboutADamagedRecord() throws {
        let sandbox = try Sandbox()
        let (holder, waiter) = (try sandbox.holding("q"), try sandbox.waiting("q", as: "next", "--priority", "5"))
        // They must not mend their records meanwhile. A guardian is continued by its `semq`.
        let menders = [holder.pid, try #require(Processes.guardian(of: holder.pid)), waiter.pid]
        for pid in menders {
            kill(pid, SIGSTOP)
            #expect(Event.happens { Processes.isStopped(pid) })
        }
        try sandbox.write("q", "")
        let text = try sandbox.semq("status", "--json", "q").out
        let object = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        for key in ["holders", "waiting"] {
            let member = try #require((object[key] as? [[String: Any]])?.first)
            for name in ["pid", "host", "user", "description", "since"] { #expect(member[name] is NSNull, "\(text)") }
        }
        let holding = try #require((object["holders"] as? [[String: Any]])?.first)
        for name in ["ticket", "priority", "token"] { #expect(holding[name] is NSNull, "\(text)") }
        let waiting = try #require((object["waiting"] as? [[String: Any]])?.first)
        #expect(waiting["ticket"] as? Int == 2 && waiting["priority"] as? Int == 5)
        for pid in menders { kill(pid, SIGCONT) }
        for member in [holder, waiter] { member.stop() }
    }

    @Test func aDescriptionComesOutAsItWentIn() throws {
        let sandbox = try Sandbox()
        for text in ["a \"b\" \\c", "tab\tnew\nline\u{1b}[1m", "größe 漢字 🚂", "100%", " x"] {
            let holder = try sandbox.holding("q", as: text)
            #expect(sandbox.view("q")?.holders.map(\.description) == [text])
            holder.stop()
        }
        let long = String(repeating: "é", count: 2000)
        let holder = try sandbox.starting("acquire", "-q", "-m", long, "q", "--", "sleep", "60")
        #expect(sandbox.queue("q") { $0.holders.count == 1 })
        let shown = sandbox.view("q")?.holders.first?.description ?? ""
        #expect(shown.hasSuffix("…") && long.hasPrefix(shown.dropLast()) && shown.count > 50)
        holder.stop()
    }

    @Test func aDescriptionMayEndInSpaces() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-q", "-m", "flashing  ", "q", "--", "sleep", "60")
        #expect(sandbox.queue("q") { $0.holders.count == 1 })
        let party = sandbox.view("q")?.holders.first
        #expect(party?.pid == holder.pid)
        #expect(party?.description.hasPrefix("flashing") == true)
        holder.stop()
    }

    // MARK: live

    @Test func watchingIntoAFilePrintsEachChange() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "q", "--", "true")
        let watch = try sandbox.starting("status", "--watch", "--json", "q")
        func states() -> [Int] {
            watch.out.split(separator: "\n").compactMap {
                (try? JSONDecoder().decode(QueueView.self, from: Data($0.utf8)))?.holders.count
            }
        }
        #expect(Event.happens { states() == [0] })
        let holder = try sandbox.holding("q")
        #expect(Event.happens { states() == [0, 1] })
        holder.stop()
        #expect(Event.happens { states() == [0, 1, 0] })
        watch.send(SIGTERM)
        #expect(watch.wait().status == .signaled(SIGTERM))
        #expect(!watch.out.contains("\u{1b}"))
    }

    @Test func oneThatCanNotBeSeenKeepsTheWatchFromNothing() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "q", "--", "true")
        let pty = try Pty([Sandbox.binary, "status", "--watch", "gone", "q"], in: sandbox)
        let sentence = "semq: gone: there is no such queue; `semq acquire` makes one"
        #expect(pty.sees(sentence) && pty.sees("q\u{1b}[0m: free"), "\(pty.everything)")
        _ = try sandbox.semq("acquire", "-q", "gone", "--", "true")
        #expect(pty.sees("gone\u{1b}[0m: free") && pty.sees("q\u{1b}[0m: free"), "\(pty.everything)")
        let piped = try sandbox.starting("status", "--watch", "q", "gone2")
        #expect(Event.happens { piped.out == "q: free, nobody waits\n" && piped.err.contains("gone2: there is no") })
        unlink(sandbox.path("q"))
        #expect(piped.wait().status == .exited(73))
    }

    /// Nor over what stands there.
    @Test func aWatchInTheBackgroundDrawsNothing() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "q", "--", "true")
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq status --watch q &")
        #expect(Event.happens { Processes.session(bash.pid).contains { Machine.state(of: $0) == "T" } })
        bash.line("echo typed")
        #expect(bash.sees("typed"))
        #expect(!bash.everything.contains(Self.screen), "\(bash.everything)")
        bash.line("fg")
        #expect(bash.sees(Self.screen) && bash.sees("q\u{1b}[0m: free"))
        bash.type(Pty.interrupt)
        #expect(bash.sees(Self.back) && bash.sees("% "))
    }

    @Test func watchingOnATerminalRedrawsAndFitsIt() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q", as: "a description that is longer than this terminal is wide")
        let pty = try Pty([Sandbox.binary, "status", "--watch", "q"], in: sandbox, columns: 50)
        #expect(pty.sees(Self.screen + "\u{1b}[H\u{1b}[H\u{1b}[1mq\u{1b}[0m: held, nobody waits\u{1b}[K\r\n"))
        #expect(pty.sees("…"))
        holder.stop()
        #expect(pty.sees("\u{1b}[H\u{1b}[1mq\u{1b}[0m: free, nobody waits\u{1b}[K\r\n\u{1b}[J"))
        pty.type(Pty.interrupt)
        #expect(pty.wait() == .signaled(SIGINT))
        let plain = pty.everything.replacing(/\x1b\[[0-9;]*[A-Za-z]/, with: "")
        #expect(plain.split(separator: "\r\n").allSatisfy { $0.count <= 50 })
    }

    /// Else they would wrap, and push the table off the screen.
    @Test func watchingOnANarrowTerminalCutsWhatStandsAboveTheTableToo() throws {
        let sandbox = try Sandbox()
        let name = String(repeating: "long", count: 15)
        _ = try sandbox.semq("set", name, "--concurrency", "1")
        _ = try sandbox.semq("set", name, "--pause", "until the lift is mended, which may take some days")
        let pty = try Pty([Sandbox.binary, "status", "--watch", name], in: sandbox, columns: 40)
        #expect(pty.sees("\u{1b}[1m\(name.prefix(39))…\u{1b}[0m\u{1b}[K\r\n\u{1b}[33mpaused by "), "\(pty.everything)")
        #expect(pty.sees("…\u{1b}[0m\u{1b}[K\r\n\u{1b}[J"), "\(pty.everything)")
        pty.type(Pty.interrupt)
        #expect(pty.wait() == .signaled(SIGINT))
        let plain = pty.everything.replacing(/\x1b\[[0-9;?]*[A-Za-z]/, with: "")
        #expect(plain.split(separator: "\r\n").allSatisfy { $0.count <= 40 })
    }

    /// The alternate screen, and the one that was there.
    private static let (screen, back) = ("\u{1b}[?1049h", "\u{1b}[?1049l")

    @Test(arguments: [SIGINT, SIGTERM, SIGHUP, SIGQUIT, 0])
    func whatStoodOnTheTerminalComesBackHoweverTheWatchEnds(_ signal: Int32) throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "q", "--", "true")
        let pty = try Pty(
            ["/bin/bash", "-c", "ulimit -c 0; exec semq status --watch q"], in: sandbox)
        #expect(pty.sees(Self.screen) && pty.sees("q\u{1b}[0m: free"))
        if signal == 0 { unlink(sandbox.path("q")) } else { kill(pty.pid, signal) }
        #expect(pty.wait() == (signal == 0 ? .exited(73) : .signaled(signal)))
        #expect(pty.sees(Self.back))
        #expect(pty.text == (signal == 0 ? "semq: q: there is no such queue; `semq acquire` makes one\r\n" : ""))
    }

    @Test func theShellHasItsScreenWhileTheWatchIsStopped() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "q", "--", "true")
        let bash = try Pty.bash(in: sandbox)
        bash.line("semq status --watch q")
        for _ in 0..<2 {
            #expect(bash.sees(Self.screen) && bash.sees("q\u{1b}[0m: free"))
            bash.type(Pty.suspend)
            #expect(bash.sees(Self.back) && bash.sees("Stopped"))
            bash.line("fg")
        }
        #expect(bash.sees(Self.screen))
        bash.type(Pty.interrupt)
        #expect(bash.sees(Self.back) && bash.sees("% "))
    }

    @Test func colourIsForTerminalsOnlyAndCanBeDeclined() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("q")
        #expect(try !sandbox.semq("status", "q").out.contains("\u{1b}"))
        #expect(try Self.shown(sandbox, [:]).contains("\u{1b}[32m"))
        #expect(try !Self.shown(sandbox, ["NO_COLOR": "1"]).contains("\u{1b}"))
        #expect(try !Self.shown(sandbox, ["TERM": "dumb"]).contains("\u{1b}"))
        holder.stop()
    }

    private static func shown(_ sandbox: Sandbox, _ environment: [String: String]) throws -> String {
        let pty = try Pty([binary, "status", "q"], in: sandbox, environment: environment)
        #expect(pty.wait() == .exited(0))
        return pty.everything
    }

    private static var binary: String { Sandbox.binary }
}
