import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// `semq status`, `set`, `release`, `history` and `doctor` from one host to another, over real connections.
@Suite struct AdministrationTests {
    /// `semq` on the client, with options that choose how hosts are reached.
    static let ways = [[], ["--rsh", "ssh"]]

    private func semq(_ client: TestHost, _ words: [String]) throws -> Sandbox.Result {
        try client.start(["semq"] + words).wait()
    }

    @Test(arguments: ways)
    func aQueueIsMadeLookedAtChangedAndFreedFromElsewhere(_ way: [String]) throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let (host, client) = (try lab.host("bench1"), try lab.client("client1"))
        func semq(_ words: String...) throws -> Sandbox.Result { try self.semq(client, words + way) }

        // The host never saw semq.
        let made = try semq("set", "lab@bench1:board.queue", "--concurrency", "2")
        #expect(
            made
                == .init(
                    status: .exited(0), out: "",
                    err: "semq: made the queue lab@bench1:/home/lab/board.queue, concurrency 2\n"))
        let holder = try client.start(
            ["semq", "acquire", "-m", "flashing"] + way + ["lab@bench1:board.queue", "--", "sleep", "600"])
        #expect(
            Event.happens { (try? semq("status", "lab@bench1:board.queue").out.contains("flashing")) == true })
        // Root reaches the same queue by its own name for it.
        let both = try semq("status", "bench1:/home/lab/board.queue", "lab@bench1:board.queue")
        #expect(both.status == .exited(0) && both.err == "")
        #expect(both.out.hasPrefix("bench1:/home/lab/board.queue: 1 of 2 held, nobody waits\n"))
        #expect(both.out.contains("\n\nlab@bench1:board.queue: 1 of 2 held, nobody waits\n"))
        #expect(both.out.contains(/root@client1 +\d+  \d\d:\d\d:\d\d +\d+s  until \d\d:\d\d:\d\d  flashing\n/))

        let paused = try semq("set", "lab@bench1:board.queue", "--pause", "recabling")
        #expect(paused.err == "semq: lab@bench1:board.queue: paused: recabling; 1 holds on until done\n")
        let released = try semq("release", "lab@bench1:board.queue", "--ticket", "1", "--reason", "fire drill")
        #expect(released.err == "semq: lab@bench1:board.queue: ended the turn of root@client1: flashing\n")
        #expect(holder.wait().status == .exited(76))
        #expect(holder.err.contains("root@client1 has ended this turn: fire drill"))
        let history = try semq("history", "lab@bench1:board.queue")
        for event in ["granted", "paused", "removed"] { #expect(history.out.contains("  \(event) "), "\(history.out)") }
        #expect(
            try semq("history", "--json", "lab@bench1:board.queue").out == host.read("/home/lab/board.queue.history"))
    }

    // MARK: live

    private func states(_ watch: Running) -> [Int] {
        struct View: Decodable { var holders: [Holder] }
        struct Holder: Decodable { var ticket: Int }
        return watch.out.split(separator: "\n").compactMap {
            (try? JSONDecoder().decode(View.self, from: Data($0.utf8)))?.holders.count
        }
    }

    @Test(arguments: ways)
    func watchingOutlivesACut(_ way: [String]) throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let (host, client) = (try lab.host("bench1"), try lab.client("client1"))
        #expect(try semq(client, ["set", "bench1:q", "--concurrency", "1"] + way).status == .exited(0))
        let watch = try client.start(["semq", "status", "--watch", "--json", "bench1:q"] + way)
        #expect(Event.happens { states(watch) == [0] })
        try host.drop(client)
        #expect(Event.happens { watch.err.contains("semq: bench1:q: no answer within 5 s (trying again)\n") })
        let agent = try #require(host.processes().first { $0.words.last == "agent" }).words[0]
        let holder = try host.start([agent, "acquire", "-q", "q", "--", "sleep", "600"])
        try host.heal()
        #expect(Event.happens { states(watch) == [0, 1] })
        #expect(Event.happens { watch.err.contains(/semq: bench1: connected again after \d+(\.\d)? s\n/) })
        holder.send(SIGKILL)
        try host.reject(client)
        #expect(Event.happens { watch.err.split(separator: "\n").count == 3 })
        try host.heal(client)
        #expect(Event.happens { watch.err.split(separator: "\n").count == 4 }, "\(watch.err)")
        #expect(!watch.hasEnded)
        watch.send(SIGKILL)
    }

    @Test func oneConnectionCarriesAllThatACommandAsks() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let (host, client) = (try lab.host("bench1"), try lab.client("client1"))
        for name in ["a", "b", "c"] {
            #expect(try semq(client, ["set", "bench1:\(name)", "--concurrency", "1"]).status == .exited(0))
        }
        let watch = try client.start(["semq", "status", "--watch", "bench1:a", "bench1:b", "bench1:c"])
        #expect(Event.happens { watch.out.contains("bench1:c: free") })
        // In a second it has asked twice for each.
        let start = ContinuousClock.now
        #expect(
            Event.happens {
                let agents = (try? host.processes().count { $0.words.last == "agent" }) ?? 0
                return agents != 1 || ContinuousClock.now - start > .seconds(1.2)
            })
        #expect(try host.processes().count { $0.words.last == "agent" } == 1)
        kill(try #require(watch.inside), SIGKILL)
        #expect(Event.happens { (try? host.processes().contains { $0.words.last == "agent" }) == false })
    }

    // MARK: doctor

    private func subjects(_ result: Sandbox.Result) -> [String] {
        result.out.split(separator: "\n").map { line in
            let fields = line.split(separator: "  ", omittingEmptySubsequences: true)
            return fields.prefix(2).map { $0.trimmingCharacters(in: .whitespaces) }.joined(separator: " ")
        }
    }

    @Test(arguments: ways)
    func theDoctorTellsInOrderWhatWorks(_ way: [String]) throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1", HostOptions { $0.port = 2222 })
        let client = try lab.client("client1")
        func doctor(_ name: String = "bench1:board.queue", _ options: String...) throws -> Sandbox.Result {
            try semq(client, ["doctor", name] + way + options)
        }
        let road = ["ok configuration", "ok route", "ok host key", "ok log-in"]
        let rest = ["note file", "ok file system", "ok clocks", "ok lease"]
        let first = try doctor()
        #expect(first.status == .exited(0) && first.err == "")
        #expect(subjects(first) == road + ["ok semq"] + rest, "\(first.out)")
        #expect(first.out.contains(" to root@bench1 port 2222\n"))
        #expect(first.out.contains("\(host.address) port 2222 answers\n"))
        #expect(first.out.contains("put there just now as ~/.cache/semq/"))
        #expect(first.out.contains("bench1:board.queue: not there yet; the first acquire makes it in /root\n"))
        #expect(try doctor().out.contains("found as ~/.cache/semq/"))

        #expect(try semq(client, ["acquire", "-q", "bench1:board.queue"] + way + ["--", "true"]).status == .exited(0))
        let whole = try doctor()
        #expect(
            subjects(whole) == road
                + [
                    "ok semq", "ok file", "ok file system", "ok locks", "ok records", "ok mutex", "ok clocks",
                    "ok lease",
                ], "\(whole.out)")

        let bare = try doctor("lab@bench1:q", "--no-bootstrap")
        #expect(bare.status == .exited(69))
        #expect(subjects(bare) == road + ["BAD semq"], "\(bare.out)")
        let missing = try doctor("bench1:/nosuch/q")
        #expect(missing.status == .exited(65))
        #expect(missing.out.contains("bench1:/nosuch/q: there is no folder /nosuch\n"))
    }

    @Test(arguments: ways)
    func theDoctorStopsAtTheFirstThatMakesTheRestImpossible(_ way: [String]) throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let (host, client) = (try lab.host("bench1"), try lab.client("client1"))
        func doctor(_ name: String) throws -> (code: Sandbox.Status, lines: [String], last: String) {
            let result = try semq(client, ["doctor", name] + way)
            let last = result.out.split(separator: "\n").last.map(String.init) ?? ""
            return (result.status, subjects(result), last)
        }
        let name = try doctor("nosuch:q")
        // What nobody else knows, ssh might.
        let handedOn = way.isEmpty ? ["note configuration"] : []
        #expect(name.code == .exited(69) && name.lines == ["ok configuration"] + handedOn + ["BAD route"])
        #expect(name.last.contains("nosuch") && name.last.contains("not known"))
        let port = try doctor("ssh://bench1:23/q")
        #expect(port.code == .exited(69) && port.lines == ["ok configuration", "BAD route"])
        #expect(port.last.contains("Connection refused"))
        let user = try doctor("nobody@bench1:q")
        #expect(user.code == .exited(77))
        #expect(user.lines == ["ok configuration", "ok route", "ok host key", "BAD log-in"])
        #expect(user.last.contains("authorized_keys"))

        // A key that isn't the host's.
        let other = "ssh-keygen -q -t ed25519 -N '' -f /tmp/other"
        #expect(
            try client.shell("\(other); (printf 'bench1 '; cut -d' ' -f1-2 /tmp/other.pub) > ~/.ssh/known_hosts").status
                == .exited(0))
        let changed = try doctor("bench1:q")
        #expect(changed.code == .exited(77))
        #expect(changed.lines == ["ok configuration", "ok route", "BAD host key"])
        #expect(changed.last.contains("/root/.ssh/known_hosts:1") && changed.last.contains("ssh-keygen"))
        let refused = try semq(client, ["acquire", "bench1:q"] + way + ["--", "true"])
        #expect(refused.status == .exited(77) && refused.err.contains("is not the one known before"), "\(refused)")
        #expect(refused.err.contains("/root/.ssh/known_hosts:1") && refused.err.contains("ask its admin"), "\(refused)")
        _ = try client.shell("> ~/.ssh/known_hosts")
        let unknown = try doctor("bench1:q")
        #expect(unknown.code == .exited(77) && unknown.lines == ["ok configuration", "ok route", "BAD host key"])

        try host.drop(client)
        let silent = try doctor("bench1:q")
        #expect(silent.code == .exited(69) && silent.lines == ["ok configuration", "BAD route"])
        #expect(silent.last.contains("is the host up"))
        _ = try client.shell("echo Nonsense >> ~/.ssh/config")
        let configuration = try doctor("bench1:q")
        #expect(configuration.code == .exited(69) && configuration.lines == ["BAD configuration"])
        #expect(configuration.last.contains("nonsense"))
    }

    /// Where the configuration wants what only `ssh` can do, it says so and judges by that.
    @Test func theDoctorSaysWhyItGoesByWayOfSSH() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        _ = try lab.host("gate")
        _ = try lab.host("bench1")
        let client = try lab.client("client1")
        _ = try client.shell("printf 'Host inner\\n HostName bench1\\n ProxyJump gate\\n' >> ~/.ssh/config")
        let result = try semq(client, ["doctor", "inner:q"])
        #expect(result.status == .exited(0), "\(result.out)")
        #expect(result.out.contains("by way of ssh to root@bench1 port 22, because ProxyJump is set (gate)\n"))
        #expect(
            subjects(result) == [
                "ok configuration", "ok route", "ok host key", "ok log-in", "ok semq", "note file", "ok file system",
                "ok clocks", "ok lease",
            ], "\(result.out)")
        _ = try client.shell(
            "printf 'Host lost\\n HostName bench1\\n ProxyCommand no-such-program\\n' >> ~/.ssh/config")
        let lost = try semq(client, ["doctor", "lost:q"])
        #expect(lost.status == .exited(69))
        #expect(lost.out.contains("no connection through the proxy: "))
        #expect(lost.out.contains("no-such-program"))
    }

    /// A client whose key does nothing but `semq agent --restrict` on the host, below /srv.
    private func restricted(_ options: String = "") throws -> (client: TestHost, host: TestHost) {
        let lab = try TestLab()
        let client = try lab.client("client1")
        let key = client.read("/root/.ssh/id_ed25519.pub").trimmingCharacters(in: .newlines)
        let host = try lab.host(
            "bench1",
            HostOptions {
                $0.authorizedKeys = "command=\"/opt/semq agent --restrict /srv \(options)\",restrict \(key)\n"
            })
        try #require(host.run("mkdir", "-p", "/opt", "/srv").status == .exited(0))
        try host.put(Sandbox.binary, at: "/opt/semq")
        return (client, host)
    }

    /// A key that can only take turns below one folder: the doctor can look, nobody can change anything.
    @Test func aRestrictedKeyCanLookAndNotChange() throws {
        guard Machine.has(.hosts) else { return }
        let (client, host) = try restricted()
        #expect(try semq(client, ["acquire", "-q", "bench1:q", "--", "true"]).status == .exited(0))
        for words in [["status", "bench1:q"], ["history", "bench1:q"], ["doctor", "bench1:q"]] {
            let result = try semq(client, words)
            #expect(result.status == .exited(0) && result.err == "", "\(words): \(result)")
        }
        for words in [
            ["set", "--concurrency", "2"], ["set", "--pause", "x"], ["release", "--ticket", "1", "--reason", "x"],
        ] {
            let result = try semq(client, words + ["bench1:q"])
            #expect(result.status == .exited(77), "\(result)")
            #expect(result.err.hasPrefix("semq: bench1:q: this key can only take turns, not "))
        }
        #expect(try semq(client, ["status", "bench1:/etc/passwd"]).status == .exited(77))
        let there = try semq(client, ["acquire", "--there", "bench1:q", "--", "touch", "/srv/ran"])
        #expect(there.status == .exited(77), "\(there)")
        #expect(there.err == "semq: bench1:q: this key can only take turns, not run commands there\n")
        // What leads out, by way of a real sshd.
        #expect(try host.shell("ln -s /etc /srv/folder && ln -s /tmp/out /srv/file").status == .exited(0))
        for name in ["folder/q", "../tmp/q", "q\nq", String(repeating: "x", count: 100_000)] {
            let result = try semq(client, ["acquire", "-q", "-n", "bench1:\(name)", "--", "true"])
            #expect(result.status == .exited(name.utf8.count > 99 ? 64 : 77), "\(result)")
            #expect(result.err.utf8.count < 1024)
        }
        #expect(try semq(client, ["acquire", "-q", "-n", "bench1:file", "--", "true"]).status != .exited(0))
        #expect(try host.shell("ls /srv/ran /etc/q /tmp/q /tmp/out 2>/dev/null").out == "")
    }

    /// `--existing` in the forced command: turns at queues that are there, and no others.
    @Test func aRestrictedKeyMayBeKeptFromMakingQueues() throws {
        guard Machine.has(.hosts) else { return }
        let (client, host) = try restricted("--existing")
        #expect(try host.run("/opt/semq", "set", "/srv/old", "--concurrency", "1").status == .exited(0))
        for options in [[], ["--concurrency", "1"]] {
            let new = try semq(client, ["acquire"] + options + ["bench1:new", "--", "true"])
            #expect(new.status == .exited(73), "\(new)")
            #expect(new.err == "semq: bench1:new: there is no such queue, and this key may make none\n")
        }
        #expect(try host.shell("ls /srv/new* 2>/dev/null").out == "")
        #expect(try semq(client, ["acquire", "-q", "bench1:old", "--", "true"]).status == .exited(0))
    }
}
