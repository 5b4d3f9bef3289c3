import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// `semq status` and `semq history` of queues on other hosts.
@Suite struct RemoteStatusTests {
    @Test func aQueueThereLooksAsItDoesThereUnderTheNameThatWasTyped() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        _ = try sandbox.semq("set", "bench/q", "--concurrency", "2")
        let holder = try sandbox.holding("bench/q", as: "first\n\u{1b}[1m é")
        let second = try sandbox.holding("bench/q", as: "second")
        let waiter = try sandbox.waiting("bench/q", as: "third", "--priority", "5")
        _ = try sandbox.semq("set", "bench/q", "--pause", "re\ncabling")
        for words in [["status"], ["status", "--json"]] {
            let here = try sandbox.start([Sandbox.binary] + words + ["bench/q"]).wait()
            let there = try sandbox.start([Sandbox.binary] + words + ["ann@bench:q"] + bench.options).wait()
            #expect(there.status == .exited(0) && there.err == "")
            let same = Self.withoutAges(here.out).replacing("bench/q", with: "ann@bench:q")
            #expect(Self.withoutAges(there.out) == same)
        }
        for running in [holder, second, waiter] { running.stop() }
    }

    private static func withoutAges(_ table: String) -> String { table.replacing(#/ +\d+s /#, with: "") }

    /// A member on this side is told to people there as who it is here.
    @Test func aRemoteHolderHasALease() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        let holder = try bench.starting("acquire", "-q", "-m", "flashing", "bench:q", "--", "sleep", "60")
        var object: [String: Any] = [:]
        let isThere = Event.happens {
            guard let text = try? bench.semq("status", "--json", "bench:q").out,
                let status = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any],
                let holders = status["holders"] as? [[String: Any]], let first = holders.first
            else { return false }
            object = first
            return true
        }
        try #require(isThere)
        #expect(object["pid"] as? Int == Int(holder.pid))
        #expect(object["description"] as? String == "flashing")
        #expect((object["lease_expires"] as? String)?.hasSuffix("Z") == true)
        holder.stop()
    }

    @Test func whatCanBeHadIsShownAndWhatCannotIsSaid() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        _ = try sandbox.semq("set", "a", "--concurrency", "1")
        _ = try sandbox.semq("set", "bench/b", "--concurrency", "1")
        try sandbox.write("bench/c", "no queue\n")
        let mixed = try bench.semq("status", "a", "bench:nosuch", "bench:b", "bench:c")
        #expect(mixed.status == .exited(73), "as of the first that can't be had")
        #expect(mixed.out == "a: free, nobody waits\n\nbench:b: free, nobody waits\n")
        let sentences = mixed.err.split(separator: "\n")
        try #require(sentences.count == 2)
        #expect(sentences[0] == "semq: bench:nosuch: there is no such queue; `semq acquire` makes one")
        #expect(sentences[1].hasPrefix("semq: bench:c: "))
        #expect(bench.connections.count == 1, "one connection for all queues of a host")

        try bench.fails("ssh: connect to host bench port 22: No route to host")
        let cut = try bench.semq("status", "bench:b", "a")
        #expect(cut.status == .exited(69))
        #expect(cut.out == "a: free, nobody waits\n")
        #expect(
            cut.err == "semq: bench: can't be reached: ssh: connect to host bench port 22: No route to host\n")
    }

    // MARK: live

    private static func states(_ watch: Running) -> [Int] {
        watch.out.split(separator: "\n").compactMap {
            (try? JSONDecoder().decode(QueueView.self, from: Data($0.utf8)))?.holders.count
        }
    }

    @Test func watchingAsksOverOneConnectionAndOutlivesIt() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        _ = try sandbox.semq("set", "bench/q", "--concurrency", "1")
        let watch = try bench.starting("status", "--watch", "--json", "bench:q", "ann@bench:q")
        #expect(Event.happens { Self.states(watch) == [0, 0] })
        let holder = try sandbox.holding("bench/q")
        #expect(Event.happens { Self.states(watch).suffix(2) == [1, 1] })
        #expect(bench.connections.count == 2, "to each host as it is named")

        try bench.fails("ssh: connect to host bench port 22: No route to host")
        bench.cut()
        // The one that was asked just then is lost, the other isn't got back.
        for host in ["bench", "ann@bench"] {
            #expect(Event.happens { watch.err.contains(try! Regex("semq: \(host): .* \\(trying again\\)\n")) })
        }
        holder.stop()
        bench.works()
        #expect(Event.happens { Self.states(watch).suffix(2) == [0, 0] })
        #expect(Event.happens { watch.err.contains(/semq: bench: connected again after \d+(\.\d)? s\n/) })
        #expect(!watch.hasEnded)
        watch.send(SIGTERM)
        #expect(watch.wait().status == .signaled(SIGTERM))
    }

    /// What isn't the connection's fault ends it, as it does here.
    @Test func watchingEndsWithTheQueue() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        _ = try sandbox.semq("set", "bench/q", "--concurrency", "1")
        let watch = try bench.starting("status", "--watch", "bench:q")
        #expect(Event.happens { watch.out == "bench:q: free, nobody waits\n" })
        unlink(sandbox.path("bench/q"))
        let sentence = "semq: bench:q: there is no such queue; `semq acquire` makes one\n"
        #expect(watch.wait() == .init(status: .exited(73), out: "bench:q: free, nobody waits\n", err: sentence))
        try bench.fails("ssh: Permission denied (publickey).")
        #expect(try bench.semq("status", "--watch", "bench:q").status == .exited(77))
    }

    @Test func watchingOnATerminalTellsOfACutAboveWhatWasSeenLast() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        _ = try sandbox.semq("set", "bench/q", "--concurrency", "1")
        let pty = try Pty([Sandbox.binary, "status", "--watch", "bench:q"] + bench.options, in: sandbox, columns: 100)
        #expect(pty.sees("\u{1b}[H\u{1b}[1mbench:q\u{1b}[0m: free, nobody waits\u{1b}[K\r\n"))
        try bench.fails("ssh: connect to host bench port 22: No route to host")
        bench.cut()
        #expect(pty.sees("bench: no connection since "))
        #expect(pty.sees("when it looked as below; trying again\u{1b}[0m\u{1b}[K\r\n\u{1b}[1mbench:q\u{1b}[0m: free"))
        bench.works()
        #expect(pty.sees("\u{1b}[H\u{1b}[1mbench:q\u{1b}[0m: free, nobody waits\u{1b}[K\r\n"))
        pty.type(Pty.interrupt)
        #expect(pty.wait() == .signaled(SIGINT))
    }

    // MARK: history

    @Test func theHistoryComesWholeHoweverLongItIs() throws {
        let sandbox = try Sandbox()
        let bench = try Bench(sandbox)
        #expect(try sandbox.semq("acquire", "-q", "-m", "é\n", "bench/q", "--", "true").status == .exited(0))
        #expect(try bench.semq("history", "bench:q") == sandbox.semq("history", "bench/q"))

        // Both pages full, as far as one event.
        let page = { (year: Int) in
            (0..<7000).map {
                let event = $0 % 2 == 0 ? "granted" : "released"
                let time = "\(year)-11-23T04:\(10 + $0 / 3600):\(10 + $0 / 60 % 50).\(100_000 + $0)Z"
                return #"{"time": "\#(time)", "event": "\#(event)", "ticket": \#($0), "priority": 0, "pid": 4711, "#
                    + #""host": "bench", "user": "ann", "description": "größe", "slot": 0, "token": 1}"# + "\n"
            }.joined()
        }
        try sandbox.write("bench/q.history.1", page(2024))
        try sandbox.write("bench/q.history", page(2025))
        for words in [["history", "--json"], ["history"]] {
            let here = try sandbox.start([Sandbox.binary] + words + ["bench/q"]).wait()
            let there = try sandbox.start([Sandbox.binary] + words + ["bench:q"] + bench.options).wait()
            #expect(here.out.split(separator: "\n").count == 14_000)
            #expect(there == here)
        }
        let missing = try bench.semq("history", "bench:nosuch")
        let sentence = "semq: bench:nosuch: there is no such queue; `semq acquire` makes one\n"
        #expect(missing == .init(status: .exited(73), out: "", err: sentence))
    }
}
