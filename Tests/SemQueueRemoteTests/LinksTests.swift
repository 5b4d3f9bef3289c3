import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// What carries the connections, and what that leaves: no part of the command.
@Suite(.onHosts) struct LinksTests {
    private let scene: Scene
    private let client: TestHost
    private let gate: TestHost

    init() throws {
        scene = try Scene()
        gate = try scene.lab.host("gate")
        client = try scene.client("one")
        let config = "Host inner\\n HostName bench\\n User lab\\n ProxyJump root@gate\\n"
        let written = try client.shell("printf '\(config)' >>~/.ssh/config")
        try #require(written.status == .exited(0))
    }

    private func processes(_ program: String) -> [pid_t] {
        ((try? client.processes()) ?? []).filter { $0.words.first == program && $0.state != "Z" }.map(\.pid)
    }

    /// Those that `ssh` has started for the jump host.
    private func jumps() -> Set<pid_t> {
        let all = (try? client.processes()) ?? []
        return Set(all.filter { $0.words.first == "ssh" && $0.words.contains("-W") && $0.state != "Z" }.map(\.pid))
    }

    private func holdingAndCut(_ transport: Transport) throws -> (Scene.Turn, before: Set<pid_t>) {
        scene.transport = transport
        let turn = try scene.holding("a", on: client, ["--lease", "20"], at: "inner:board.queue", manners: "")
        let before = jumps()
        try #require(!before.isEmpty)
        try gate.drop()
        #expect(Event.happens { turn.says("the connection is lost") }, "\(turn.said)")
        // They hang in connect(2), for links of which some were given up by now.
        #expect(Scene.comesToBe { jumps().subtracting(before).count >= 2 }, "\(turn.said)")
        return (turn, before)
    }

    /// The command ends while its host is cut off: nothing of it is left, and its code is what counts.
    @Test(arguments: Transport.allCases, [false, true])
    func whatLinksLeaveKeepsNoTurn(_ transport: Transport, _ guardianIsKilled: Bool) throws {
        let (turn, _) = try holdingAndCut(transport)
        if guardianIsKilled {
            let guardian = try turn.guardian
            kill(guardian, SIGKILL)
            // Reaped, it has been missed: semq has taken over.
            #expect(Event.happens { Machine.state(of: guardian) == nil })
        }
        try turn.leave()
        #expect(turn.running.wait().status == .exited(0), "\(turn.said)")
        #expect(!turn.says("still runs"), "\(turn.said)")
        #expect(Scene.comesToBe { processes("ssh").isEmpty }, "\(processes("ssh"))")
    }

    /// Nobody is left who could end them.
    @Test(arguments: Transport.allCases) func linksEndWithoutUs(_ transport: Transport) throws {
        let (turn, before) = try holdingAndCut(transport)
        let (front, guardian) = (try turn.front, try turn.guardian)
        for pid in [front, guardian, try turn.command] { kill(pid, SIGKILL) }
        let after = jumps().subtracting(before)
        #expect(Scene.comesToBe(within: 30) { jumps().isDisjoint(with: after) }, "\(jumps()) of \(after)")
    }

    /// As the master of several connections is, which `ssh` leaves to others.
    @Test(arguments: ["session", "tree"]) func aDaemonOfLinksIsNotTheCommands(_ until: String) throws {
        let program = """
            #!/bin/sh
            setsid -f sleep 1000 </dev/null >/dev/null 2>&1
            exec ssh "$@"
            """
        let made = try client.shell("cat >/tmp/rsh <<'end' && chmod 755 /tmp/rsh\n\(program)\nend")
        try #require(made.status == .exited(0))
        let words = ["--rsh", "/tmp/rsh", "--until", until, "lab@bench:board.queue"]
        let turn = try scene.start("a", on: client, words: words, manners: "")
        try #require(Event.happens { turn.isIn }, "\(turn.said)")
        let before = Set(processes("sleep"))
        try scene.bench.resetConnections()
        #expect(Scene.comesToBe { Set(processes("sleep")).subtracting(before).count >= 1 }, "\(turn.said)")
        let guardian = try turn.guardian
        // They are their keeper's, and not the guardian's.
        #expect(
            Scene.comesToBe {
                let keepers = Processes.children(of: guardian).filter { Processes.name($0) == "semq-keeper" }
                return !Set(keepers.flatMap(Processes.children)).isDisjoint(with: processes("sleep"))
            })
        let daemons = Set(processes("sleep"))
        kill(try turn.front, SIGTERM)
        #expect(turn.running.wait().status != .exited(0))
        #expect(!turn.says("still runs"), "\(turn.said)")
        #expect(daemons.isSubset(of: processes("sleep")))
    }

    /// A master of `ssh`'s writes over its environment, by which it would be known.
    @Test(arguments: ["session", "tree", "told to end"]) func aMasterThatALinkHasStarted(_ how: String) throws {
        let config = """
            Host hop
             HostName gate
             User root
             ControlMaster auto
             ControlPath ~/.ssh/m-%C
             ControlPersist 600
            Host behind
             HostName bench
             User lab
             ProxyCommand ssh -W %h:%p hop
            """
        let made = try client.shell("cat >>~/.ssh/config <<'end'\n\(config)\nend")
        try #require(made.status == .exited(0))
        func masters() -> [pid_t] {
            ((try? client.processes()) ?? []).filter { $0.words.joined().contains("[mux]") && $0.state != "Z" }.map(
                \.pid)
        }
        let words = ["--until", how == "told to end" ? "tree" : how, "--lease", "20", "behind:board.queue"]
        let turn = try scene.start("a", on: client, words: words, manners: "")
        try #require(Event.happens { turn.isIn }, "\(turn.said)")
        // The first is from before the command; the link that is made anew starts one of its own.
        for master in masters() { kill(master, SIGKILL) }
        #expect(Event.happens { turn.says("connected again") }, "\(turn.said)")
        let master = try #require(masters().first)
        let user = try client.start(["ssh", "hop", "echo in; until [ -e left ]; do sleep 0.05; done; echo lived"])
        #expect(Event.happens { user.out == "in\n" }, "\(user.err)")
        if how == "told to end" { kill(try turn.front, SIGTERM) } else { try turn.leave() }
        let status = turn.running.wait().status
        #expect(how == "told to end" ? status != .exited(0) : status == .exited(0), "\(turn.said)")
        #expect(!turn.says("still runs"), "\(turn.said)")
        #expect(masters().contains(master))
        _ = try gate.shell("touch left")
        #expect(user.wait().out == "in\nlived\n")
        // It is init's now, and nobody keeps it.
        #expect(Scene.comesToBe { ((try? client.processes()) ?? []).allSatisfy { $0.name != "semq-keeper" } })
    }

    /// The guardian is killed: its links' keepers are known to `semq`, and what is below them.
    @Test func aMasterIsKnownWhenTheGuardianIsKilled() throws {
        let config =
            "Host hop\n HostName gate\n User root\n ControlMaster auto\n ControlPath ~/.ssh/m-%C\n ControlPersist 600\n"
            + "Host behind\n HostName bench\n User lab\n ProxyCommand ssh -W %h:%p hop\n"
        let made = try client.shell("cat >>~/.ssh/config <<'end'\n\(config)end")
        try #require(made.status == .exited(0))
        func masters() -> [pid_t] {
            ((try? client.processes()) ?? []).filter { $0.words.joined().contains("[mux]") && $0.state != "Z" }.map(
                \.pid)
        }
        let turn = try scene.start(
            "a", on: client, words: ["--until", "tree", "--lease", "20", "behind:board.queue"], manners: "")
        try #require(Event.happens { turn.isIn }, "\(turn.said)")
        for master in masters() { kill(master, SIGKILL) }
        #expect(Event.happens { turn.says("connected again") }, "\(turn.said)")
        let master = try #require(masters().first)
        let guardian = try turn.guardian
        kill(guardian, SIGKILL)
        #expect(Event.happens { Machine.state(of: guardian) == nil })
        try turn.leave()
        #expect(turn.running.wait().status == .exited(0), "\(turn.said)")
        #expect(masters().contains(master))
    }

    /// By one name two users mean two hosts; and another account means what its own configuration says.
    @Test(arguments: ["user", "account"]) func aSecretIsNotToldToAnotherHostOfTheSameName(_ by: String) throws {
        let other = try scene.lab.host("bench2")
        let heard = "#!/bin/sh\ntee -a /tmp/heard | exec /usr/local/bin/semq.real \"$@\"\n"
        let bring = """
            scp -q "$(command -v semq)" root@bench2:/usr/local/bin/semq.real
            printf '%s' '\(heard)' | ssh root@bench2 'cat >/usr/local/bin/semq; chmod 755 /usr/local/bin/semq'
            """
        let match = by == "user" ? "Match originalhost bench user root" : "Host bench"
        let lines = "\(match)\n HostName bench2\n HostKeyAlias bench2\n"
        let configure =
            by == "user"
            ? "printf '\(lines)' | cat - ~/.ssh/config >/tmp/new && cat /tmp/new >~/.ssh/config"
            : """
            rm -rf /home/lab/.ssh && cp -r ~/.ssh /home/lab/.ssh
            printf '\(lines)' | cat - ~/.ssh/config | sed 's#/root/#/home/lab/#g' >/home/lab/.ssh/config
            chown -R lab: /home/lab/.ssh
            """
        let made = try client.shell("set -e\n\(bring)\n\(configure)")
        try #require(made.status == .exited(0), "\(made.err)")
        let inner = "semq acquire -q --no-bootstrap root@bench:/tmp/c.queue -- true"
        let command =
            by == "user"
            ? inner
            : "cd /tmp && setpriv --reuid=lab --regid=lab --clear-groups env HOME=/home/lab \(inner)"
        let result = try client.start(["semq", "acquire", "-q", "lab@bench:board.queue", "--", "sh", "-c", command])
            .wait()
        #expect(result.status == .exited(0), "\(result)")
        let told = other.read("/tmp/heard")
        #expect(told.contains("acquire ") && !told.contains("proof=") && !told.contains("held="), "\(told)")
    }

    /// Two hosts have one address, each behind a way of its own.
    @Test func aSecretIsNotToldToAnotherHostOfTheSameAddress() throws {
        _ = try scene.lab.host("bench2")
        let configuration = ["bench", "bench2"].map { name in
            "Host lab-\(name)\n HostName 192.168.1.10\n User lab\n HostKeyAlias \(name)\n"
                + " ProxyCommand /usr/bin/ssh -W \(name):22 \(name == "bench" ? "root@bench2" : "root@bench")\n"
        }.joined()
        // Notes what hosts are told.
        let ssh = """
            #!/bin/bash
            for word; do [ "$word" = -G ] && exec /usr/bin/ssh "$@"; done
            for word; do case "$word" in lab-bench*) host=$word;; esac; done
            exec /usr/bin/ssh "$@" < <(exec tee -a /tmp/told.$host)
            """
        let made = try client.shell(
            "cat >>~/.ssh/config <<'end' && mkdir /tmp/bin && cat >/tmp/bin/ssh <<'end2' && chmod 755 /tmp/bin/ssh\n"
                + "\(configuration)\nend\n\(ssh)\nend2")
        try #require(made.status == .exited(0), "\(made.err)")
        func within(_ outer: String, _ inner: String) throws -> Sandbox.Result {
            let words = ["env", "PATH=/tmp/bin:/usr/local/bin:/usr/bin:/bin", "semq", "acquire", "-q"]
            return try client.start(
                words + [
                    "lab-\(outer):board.queue", "--", "semq", "acquire", "-q", "lab-\(inner):board.queue", "--", "true",
                ]
            ).wait()
        }
        let result = try within("bench", "bench2")
        #expect(result.status == .exited(0), "\(result)")
        let told = client.read("/tmp/told.lab-bench2")
        #expect(told.contains("acquire ") && !told.contains("proof=") && !told.contains("held="), "\(told)")
        let again = try within("bench", "bench")
        #expect(again.status == .exited(0), "\(again)")
        #expect(client.read("/tmp/told.lab-bench").contains("proof="))
    }
}
