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
        #expect(Scene.comesToBe { !Set(Processes.children(of: guardian)).isDisjoint(with: processes("sleep")) })
        let daemons = Set(processes("sleep"))
        kill(try turn.front, SIGTERM)
        #expect(turn.running.wait().status != .exited(0))
        #expect(!turn.says("still runs"), "\(turn.said)")
        #expect(daemons.isSubset(of: processes("sleep")))
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
