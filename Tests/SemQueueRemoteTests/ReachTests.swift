import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Hosts that can't be reached just now, other versions of the protocol, and options that are for other hosts.
@Suite(.onHosts) struct ReachTests {
    @Test(arguments: Transport.allCases) func anUnreachableHostIsTriedAgain(_ transport: Transport) throws {
        let scene = try Scene()
        let one = try scene.client("one")
        try scene.bench.sshd(.stop)
        let turn = try scene.start("a", on: one, transport.options + ["--retry-connect", "60"])
        #expect(Event.happens { turn.says("refused") && turn.says("trying again for 60 s") }, "\(turn.said)")
        try scene.bench.sshd(.start)
        #expect(Event.happens { turn.isIn }, "\(turn.said)")
        #expect(turn.said.count { $0.contains("trying again") } == 1, "\(turn.said)")
        try turn.leave()
        #expect(turn.running.wait().status == .exited(0))

        try scene.bench.sshd(.stop)
        let begun = Date()
        let given = try scene.start("b", on: one, transport.options + ["--retry-connect", "3"]).running.wait()
        #expect(given.status == .exited(69) && given.err.contains("refused"), "\(given.err)")
        #expect((3..<20).contains(Date().timeIntervalSince(begun)))
        let limited = try scene.start("c", on: one, transport.options + ["--retry-connect", "60", "-w", "1"])
        #expect(limited.running.wait().status == .exited(75))
        let atOnce = try scene.start("d", on: one, transport.options + ["-n"]).running.wait()
        #expect(atOnce.status == .exited(69), "\(atOnce.err)")
    }

    /// The host is off while somebody waits to connect, and comes back another one.
    @Test func aHostThatIsOffIsTriedAgain() throws {
        let scene = try Scene()
        let one = try scene.client("one")
        try scene.bench.turnOff()
        let turn = try scene.start("a", on: one, ["--retry-connect", "100"])
        let isIn = Event.happens(within: 2) { turn.isIn || turn.running.hasEnded }
        #expect(!isIn)
        try scene.bench.turnOn()
        #expect(Event.happens(within: 40) { turn.isIn }, "\(turn.said)")
        try turn.leave()
        #expect(turn.running.wait().status == .exited(0))
    }

    /// A semq of some other version there, and here.
    @Test func versionsThatDoNotMeet() throws {
        let scene = try Scene()
        let one = try scene.client("one")
        let agent = """
            #!/bin/sh
            read line
            nonce=${line#*nonce=}
            echo "semq-agent nonce=${nonce%% *} \(#"$ANSWER"#)"
            """
        let answers = [
            ("version=2", "the host's semq speaks another version of the protocol"),
            ("version=0 text=the%20host's%20semq%20speaks%20version%207%20of%20the%20protocol", "speaks version 7"),
            ("version=x", "speaks another version"),
        ]
        for (answer, text) in answers {
            let name = "/tmp/fake.\(answer.utf8.count)"
            _ = try one.shell(
                "cat > \(name) <<'end'\n\(agent.replacing("$ANSWER", with: answer))\nend\nchmod +x \(name)")
            let result = try one.start(
                ["semq", "acquire", "--rsh", name, "--no-bootstrap", "bench:board.queue", "--", "true"]
            ).wait()
            #expect(result.status == .exited(69) && result.err.contains(text), "\(result.err)")
        }

        let first = try scene.holding("a", on: one)
        try first.leave()
        #expect(first.running.wait().status == .exited(0))
        let real = [scene.lab.about.bin + "/ssh", "lab@bench", "exec .cache/semq/*/semq agent"]
        for (number, versions) in ["2-3", "0-0", "9-1", "", "1"].enumerated() {
            let client = try HandClient(scene.sandbox, real, named: "hand\(number)")
            client.send("semq nonce=\(HandClient.nonce) versions=\(versions)")
            #expect(!client.says("semq-agent nonce=\(HandClient.nonce) version=1", within: 1))
            if versions == "2-3" {
                #expect(client.says("semq-agent nonce=\(HandClient.nonce) version=0 text="), "\(client.running.out)")
                #expect(client.running.out.contains("update%20the%20host's%20semq"), "\(client.running.out)")
            }
            #expect(client.running.wait().status != .signaled(SIGKILL))
        }
        let both = try HandClient(scene.sandbox, real)
        try both.greet(versions: "1-7")
        #expect(both.line("semq-agent")?.contains("version=1") == true)
    }

    /// A script that copies what passes, as logs and wrappers do. `ssh` lets nothing block that it shares with others.
    @Test func aProgramBetweenMayCopyWhatPasses() throws {
        let scene = try Scene()
        let one = try scene.client("one")
        _ = try one.shell(
            "printf '#!/bin/bash\\nexec ssh \"$@\" < <(tee -a /tmp/passed)\\n' > /tmp/between; chmod +x /tmp/between")
        let turn = try scene.holding("a", on: one, ["--rsh", "/tmp/between", "--lease", "6"])
        // The lease is renewed all the while.
        let isDisturbed = Event.happens(within: 8) { turn.running.hasEnded }
        #expect(!isDisturbed, "\(turn.said)")
        try turn.leave()
        let result = turn.running.wait()
        #expect(result.status == .exited(0) && !result.err.contains("connection"), "\(result.err)")
        #expect(try one.shell("grep -c '^beat' /tmp/passed").out != "0\n")
    }

    @Test func leasesHaveBounds() throws {
        let lab = try TestLab()
        let one = try lab.client("one")
        for (lease, isFine) in [("4", false), ("61", false), ("5", true), ("60", true), ("7.5", true)] {
            let result = try one.start(["semq", "acquire", "--lease", lease, "nohost:q", "--", "true"]).wait()
            #expect(result.status == .exited(isFine ? 69 : 64), "\(lease): \(result.err)")
            if !isFine { #expect(result.err.contains("5 to 60 seconds"), "\(result.err)") }
        }
        let lost = try one.start(["semq", "acquire", "--on-lost", "cry", "nohost:q", "--", "true"]).wait()
        #expect(lost.status == .exited(64) && lost.err.contains("kill or warn"))
    }
}
