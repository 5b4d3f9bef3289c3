import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// The test hosts themselves: what they are, what can be done to them, and that they leave nothing behind.
@Suite struct TestHostTests {
    @Test func clientsReachHostsByName() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let hosts = try ["bench1", "bench2"].map { try lab.host($0) }
        let client = try lab.client("client1")
        for host in hosts {
            for destination in ["root@\(host.name)", "lab@\(host.name)", "root@\(host.name)-6"] {
                let user = destination.prefix(while: { $0 != "@" })
                let result = try client.run("ssh", destination, "echo $(id -un) at $(hostname)")
                #expect(result.status == .exited(0) && result.out == "\(user) at \(host.name)\n", "\(result.err)")
            }
        }
        let own = try client.run("ssh", "lab@bench1", "true", user: "lab")
        #expect(own.status == .exited(0), "\(own.err)")
    }

    /// From here too, where there is another home: by the configuration that the lab offers.
    @Test func thisProcessReachesHostsByConfiguration() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1", HostOptions { $0.port = 2222 })
        let sandbox = try Sandbox()
        for words in [["ssh", "-F", lab.about.config], [lab.about.bin + "/ssh"]] {
            let result = try sandbox.start(words + ["lab@bench1", "hostname"]).wait()
            #expect(result.status == .exited(0) && result.out == "bench1\n", "\(result.err)")
        }
        let client = try lab.client("client1")
        let result = try client.run("ssh", "bench1", "echo $SSH_CONNECTION")
        #expect(result.out.hasSuffix("\(host.address) 2222\n"), "\(result.err)")
    }

    @Test func aHostIsBare() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let found = try host.shell(
            "command -v semq swift; ls /usr/lib/*/libssh2* /usr/local/bin; ls -A /tmp \(Sandbox.root)")
        #expect(found.out.split(separator: "\n").allSatisfy { $0.hasSuffix(":") }, "\(found.out)")
        #expect(try host.shell("ls ~/.cache").status != .exited(0))
        #expect(try host.run("id", "-u", user: "lab").out != "0\n")
    }

    /// The binary that users get is in a client's PATH and does its work there, and not on the host.
    @Test func aClientHasSemq() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let client = try lab.client("client1")
        let result = try client.run("semq", "acquire", "-q", "board.queue", "--", "pwd")
        #expect(result.status == .exited(0) && result.out == "/root\n", "\(result.err)")
        #expect(client.exists("/root/board.queue"))
    }

    @Test func logInShellsAndFilesAreAsOrdered() throws {
        guard Machine.has(.hosts, .program("tcsh", package: "tcsh"), .program("fish", package: "fish")) else { return }
        let lab = try TestLab()
        let client = try lab.client("client1")
        for (name, shell) in [("one", "/bin/tcsh"), ("two", "/usr/bin/fish"), ("three", "/bin/dash")] {
            _ = try lab.host(name, HostOptions { $0.shell = shell })
            #expect(try client.run("ssh", "lab@\(name)", "echo $SHELL").out == "\(shell)\n")
        }
        _ = try lab.host(
            "noisy",
            HostOptions {
                $0.files = [".bashrc": "echo noise\n"]
                $0.sshd = ["AcceptEnv FOO", "Match User root", "ForceCommand echo forced"]
            })
        #expect(try client.run("ssh", "lab@noisy", "true").out == "noise\n")
        #expect(try client.run("env", "FOO=1", "ssh", "-oSendEnv=FOO", "lab@noisy", "echo $FOO").out == "noise\n1\n")
        #expect(try client.run("ssh", "root@noisy", "true").out.hasSuffix("forced\n"))
    }

    @Test func thereAreOtherServers() throws {
        guard Machine.has(.hosts, .openSSH10, .program("dropbear", package: "dropbear-bin")) else { return }
        let lab = try TestLab()
        let client = try lab.client("client1")
        let servers: [(HostOptions.Server, String)] = [
            (.openSSH, "OpenSSH_9"), (.openSSH10, "OpenSSH_10"), (.dropbear, "dropbear"),
        ]
        for (server, name) in servers {
            let host = try lab.host("bench-\(server)", HostOptions { $0.server = server })
            let result = try client.run("ssh", "-v", "lab@\(host.name)", "id -un")
            #expect(result.out == "lab\n" && result.err.contains("remote software version \(name)"), "\(result.err)")
            let session = try client.start(["ssh", host.name, "echo in; sleep 1000"])
            #expect(Event.happens { session.out == "in\n" })
            #expect(try !host.signal(.kill).isEmpty)
            #expect(session.wait().status == .exited(255))
            try host.sshd(.restart)
            #expect(try client.run("ssh", host.name, "true").status == .exited(0))
        }
    }

    /// Also for static programs, and for sessions that sshd starts.
    @Test func aHostMayHaveItsOwnClock() throws {
        guard Machine.has(.hosts, .program("busybox", package: "busybox-static")) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1", HostOptions { $0.hasClock = true })
        let client = try lab.client("client1")
        for days in [3, -2] {
            try host.setClock(ahead: days * 86400)
            let expected = Int(Date().timeIntervalSince1970) + days * 86400
            for words in [["date", "+%s"], ["busybox", "date", "+%s"]] {
                let here = try #require(Int(try host.start(words).wait().out.dropLast()))
                let there = try client.start(["ssh", "lab@bench1", words.joined(separator: " ")]).wait()
                #expect((0..<60).contains(here - expected))
                #expect((0..<60).contains(try #require(Int(there.out.dropLast()), "\(there.err)") - expected))
            }
        }
        let other = try #require(Int(try client.run("date", "+%s").out.dropLast()))
        #expect((0..<60).contains(Int(Date().timeIntervalSince1970) - other))
        let code = try host.start(["sh", "-c", "kill -TERM $$"]).wait()
        #expect(code.status == .signaled(SIGTERM))
    }

    // MARK: faults

    /// A command on the host that answers each line it gets, with the connection held open by `ssh`.
    private func conversation(_ client: TestHost, _ host: TestHost) throws -> Running {
        let line = "mkfifo go; exec 3<>go; : >open; ssh \(host.name) cat <&3"
        return try client.start(["/bin/sh", "-c", line])
    }

    private func hears(_ client: TestHost, _ running: Running, _ word: String, within seconds: Double = 20) throws
        -> Bool
    {
        // What is written to a fifo that nobody has open is lost.
        #expect(Event.happens { client.exists("/root/open") })
        _ = try client.shell("echo \(word) 1<>go")
        return Event.happens(within: seconds) { running.out.contains("\(word)\n") }
    }

    @Test func dropStallsAndHealResumes() throws {
        guard Machine.has(.hosts) else { return }
        let sandbox = try Sandbox()
        let lab = try TestLab()
        let (host, other) = (try lab.host("bench1"), try lab.host("bench2"))
        let client = try lab.client("client1")
        let running = try conversation(client, host)
        #expect(try hears(client, running, "before"))
        try host.drop(client)
        #expect(try !hears(client, running, "stalled", within: 0.5))
        #expect(try client.run("ssh", "-oConnectTimeout=1", "bench1", "true").status == .exited(255))
        #expect(try client.run("ssh", "bench2", "true").status == .exited(0), "\(other.name) is not cut off")
        let outside = try sandbox.start([lab.about.bin + "/ssh", "bench1", "true"]).wait()
        #expect(outside.status == .exited(0), "the others still reach it: \(outside.err)")
        try host.heal()
        #expect(try hears(client, running, "after"))
        #expect(running.out == "before\nstalled\nafter\n")
    }

    @Test func oneWayIsEnoughToCut() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let client = try lab.client("client1")
        for direction in [TestHost.Direction.into, .out] {
            try host.drop(client, direction)
            for name in ["bench1", "bench1-6"] {
                #expect(try client.run("ssh", "-oConnectTimeout=1", name, "true").err.contains("timed out"))
            }
            try host.heal(client)
            for name in ["bench1", "bench1-6"] { #expect(try client.run("ssh", name, "true").status == .exited(0)) }
        }
        try host.unplug()
        #expect(try client.run("ssh", "-oConnectTimeout=1", "bench1", "true").err.contains("timed out"))
        #expect(try host.run("cat", "/sys/class/net/eth0/carrier").out != "1\n")
        try host.heal()
        #expect(try client.run("ssh", "bench1", "true").status == .exited(0))
    }

    @Test func rejectResets() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let client = try lab.client("client1")
        let running = try conversation(client, host)
        #expect(try hears(client, running, "before"))
        try host.reject(client)
        #expect(try !hears(client, running, "more", within: 0.2))
        #expect(running.wait().status == .exited(255))
        #expect(try client.run("ssh", "bench1", "true").err.contains("refused"))
        try host.heal(client)
        #expect(try client.run("ssh", "bench1", "true").status == .exited(0))
    }

    @Test func connectionsCanBeReset() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let client = try lab.client("client1")
        let running = try conversation(client, host)
        #expect(try hears(client, running, "before"))
        try host.resetConnections(client)
        #expect(running.wait().status == .exited(255))
        #expect(try client.run("ssh", "bench1", "true").status == .exited(0))
    }

    @Test func sessionsCanBeStoppedAndKilled() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let client = try lab.client("client1")
        let running = try conversation(client, host)
        #expect(try hears(client, running, "before"))
        #expect(try !host.signal(.stop).isEmpty)
        #expect(try !hears(client, running, "stopped", within: 0.5))
        try host.signal(.continue)
        #expect(Event.happens { running.out.contains("stopped") })
        try host.signal(.kill)
        #expect(Event.happens { running.err.contains("closed") }, "\(running.err)")
        try host.sshd(.stop)
        #expect(try client.run("ssh", "bench1", "true").err.contains("refused"))
        try host.sshd(.start, configuration: ["ForceCommand echo forced"])
        #expect(try client.run("ssh", "bench1", "true").out == "forced\n")
    }

    @Test func aRebootKillsProcessesAndKeepsFiles() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let client = try lab.client("client1")
        let running = try conversation(client, host)
        #expect(try hears(client, running, "before"))
        #expect(try host.shell("echo kept > /root/file; setsid sleep 1000 < /dev/null > /dev/null 2>&1 &").out == "")
        let boot = "cat /proc/sys/kernel/random/boot_id"
        let first = try host.shell(boot).out
        var sleeper: TestHost.Process?
        _ = Event.happens {
            sleeper = try? host.processes().first { $0.words == ["sleep", "1000"] }
            return sleeper != nil
        }
        let pid = try #require(sleeper?.pid)

        try host.turnOff()
        #expect(Machine.state(of: pid) == nil)
        #expect(running.err == "", "nobody was told")
        try host.turnOn(uptime: 5)
        #expect(try !host.processes().contains { $0.name == "sleep" })
        #expect(try host.run("cat", "file").out == "kept\n")
        #expect(try host.shell(boot).out != first)
        let uptime = try #require(Double(try host.run("cut", "-d ", "-f1", "/proc/uptime").out.dropLast()))
        #expect((4..<60).contains(uptime))
        #expect(try !hears(client, running, "after", within: 0.1))
        #expect(running.wait().status == .exited(255), "the host knows nothing of the connection")
        #expect(try client.run("ssh", "bench1", "true").status == .exited(0))
    }

    // MARK: the end

    /// A lab with a host and a session on it, and all of its processes.
    private func busy() throws -> (lab: TestLab, pids: [pid_t]) {
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let client = try lab.client("client1")
        let line =
            "ssh bench1 'setsid sleep 1000 & sleep 1000' & until ssh bench1 pgrep -c sleep | grep -q 2; do :; done"
        #expect(try client.shell(line + "; kill $!").status == .exited(0))
        let pids = try (host.processes() + client.processes()).map(\.pid)
        return (lab, pids + [lab.about.pid] + [host, client].compactMap(\.keeper))
    }

    private func remains(of lab: pid_t, _ pids: [pid_t]) -> [String] {
        let living = pids.filter { ![nil, "Z", "X"].contains(Machine.state(of: $0)) }.map { "process \($0)" }
        let sockets = (try? String(contentsOfFile: "/proc/net/unix", encoding: .utf8)) ?? ""
        let mounts = (try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)) ?? ""
        return living + (access("/sys/class/net/semq\(lab)", F_OK) == 0 ? ["an interface"] : [])
            + (sockets.contains("@semq-lab-\(lab)\n") ? ["a socket"] : [])
            + (mounts.contains("semq-hosts") ? ["mounts"] : [])
    }

    @Test func aLabThatIsNotUsedAnyMoreLeavesNothing() throws {
        guard Machine.has(.hosts) else { return }
        var made: (lab: TestLab, pids: [pid_t])? = try busy()
        let (id, pids) = try #require(made.map { ($0.lab.about.pid, $0.pids) })
        // The lab itself, two keepers and two that sleep; the session's own processes may just be ending.
        #expect(remains(of: id, pids).count >= 5)
        made = nil
        #expect(remains(of: id, pids) == [])
    }

    @Test func aKilledLabLeavesNothing() throws {
        guard Machine.has(.hosts) else { return }
        let made = try busy()
        kill(made.lab.about.pid, SIGKILL)
        #expect(Event.happens { remains(of: made.lab.about.pid, made.pids) == [] })
    }

    @Test func aLabEndsWithItsOwner() throws {
        guard Machine.has(.hosts) else { return }
        let sandbox = try Sandbox()
        let program = Sandbox.root + "/Tests/Support/hosts/host"
        // Standard input stays open: it is the death of the shell, its parent, that counts.
        let owner = try sandbox.start(["/bin/sh", "-c", "mkfifo in; exec 3<>in; \(program) serve <in; :"])
        #expect(Event.happens { owner.out.hasSuffix("\n") })
        let lab = try JSONDecoder().decode(TestLab.About.self, from: Data(owner.out.utf8)).pid
        #expect(remains(of: lab, [lab]).contains("an interface"))
        owner.send(SIGKILL)
        #expect(Event.happens { remains(of: lab, [lab]) == [] })
    }

    @Test func aHostIsDestroyedAndItsNameIsFree() throws {
        guard Machine.has(.hosts) else { return }
        let lab = try TestLab()
        let host = try lab.host("bench1")
        let client = try lab.client("client1")
        let pids = try host.processes().map(\.pid) + [host.keeper].compactMap(\.self)
        try host.destroy()
        #expect(pids.allSatisfy { Machine.state(of: $0) == nil })
        #expect(try client.run("ssh", "bench1", "true").err.contains("not known"))
        _ = try lab.host("bench1")
        #expect(try client.run("ssh", "bench1", "true").status == .exited(0))
        #expect(throws: TestLab.Refusal.self) { try lab.host("bench1") }
    }
}

extension TestHost {
    /// The process that keeps its namespaces.
    fileprivate var keeper: pid_t? { pid_t(root.split(separator: "/")[1]) }
}
