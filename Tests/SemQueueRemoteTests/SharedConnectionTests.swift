import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// The connections that a user's own `ssh` shares (ControlMaster, ControlPath): semq never makes one that others hang on,
/// and never hangs on one where another can be made.
@Suite(.onHosts) struct SharedConnectionTests {
    private let scene: Scene
    private let one: TestHost
    /// Said of one that doesn't answer.
    private static let passedOver = "nothing comes back over the connection of ssh that is open there (ControlMaster)"

    init() throws {
        scene = try Scene()
        scene.transport = .ssh
        one = try scene.client("one")
        try run(#"printf 'Host *\n ControlMaster auto\n ControlPath ~/.ssh/cm-%%C\n' >>~/.ssh/config"#)
    }

    /// Runs a line of shell on the client.
    @discardableResult
    private func run(_ line: String) throws -> String {
        let result = try one.shell(line)
        try #require(result.status == .exited(0), "\(line): \(result.err)")
        return result.out
    }

    /// The sockets of connections that are shared.
    private var shared: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: one.root + "/root/.ssh")) ?? []
        return names.filter { $0.hasPrefix("cm-") }
    }

    /// Opens one, as the user.
    private func open() throws {
        try run("ssh -o ControlPersist=600 lab@bench true")
        try #require(shared.count == 1)
    }

    private func logIns() -> Int {
        scene.bench.read("/var/log/sshd.log").split(whereSeparator: \.isNewline)
            .count { $0.contains("Accepted publickey for lab") }
    }

    // MARK: others' sessions

    @Test(arguments: ["chosen", "by itself"]) func nobodyElseHangsOnOurs(_ way: String) throws {
        if way != "chosen" {
            // Libssh2 knows no hops; and neither must that to the hop be what others hang on.
            scene.transport = .own
            _ = try scene.lab.host("gate")
            try run(#"printf 'Host bench\n ProxyJump lab@gate\n' >>~/.ssh/config"#)
        }
        let turn = try scene.holding("a", on: one)
        #expect(shared.isEmpty)
        let user = try one.start(["ssh", "lab@bench", "echo in; until [ -e left ]; do sleep 0.05; done; echo lived"])
        #expect(Event.happens { user.out == "in\n" }, "\(user.err)")
        try turn.leave()
        #expect(turn.running.wait().status == .exited(0), "\(turn.said)")
        _ = try scene.bench.shell("touch left", user: "lab")
        let result = user.wait()
        #expect(result.status == .exited(0) && result.out == "in\nlived\n", "\(result)")
    }

    /// It is used, and when it is lost the turn is not.
    @Test func theUsersConnectionIsUsedAndMayEnd() throws {
        try expectLeaves(scene.holding("first", on: one))
        try open()
        let before = logIns()
        let turn = try scene.holding("a", on: one)
        #expect(logIns() == before)
        try run("ssh -O exit lab@bench")
        #expect(Event.happens { turn.says("connected again") }, "\(turn.said)")
        #expect(shared.isEmpty)
        try expectLeaves(turn)
    }

    /// Where a log-in would ask (a password, a second factor), the user's connection is the only way, and a cut is
    /// survived over it.
    @Test func whereALogInWouldAsk() throws {
        try expectLeaves(scene.holding("first", on: one))
        try open()
        try run("mv ~/.ssh/id_ed25519 ~/.ssh/away")
        let turn = try scene.holding("a", on: one, ["--lease", "10"])
        for link in try turn.links where link != (try persisting()) { kill(link, SIGKILL) }
        #expect(Event.happens { turn.says("connected again") }, "\(turn.said)")
        try expectLeaves(turn)
    }

    /// The user's `ssh` that keeps the connection.
    private func persisting() throws -> pid_t? {
        try one.processes().first { $0.words.joined(separator: " ").contains("[mux]") }?.pid
    }

    // MARK: connections that are dead and don't know it

    @Test(arguments: ["forgotten", "stopped"]) func aDeadConnectionIsPassedOver(_ how: String) throws {
        try expectLeaves(scene.holding("first", on: one))
        try open()
        if how == "stopped" {
            kill(try #require(try persisting()), SIGSTOP)
        } else {
            // As by a firewall that has forgotten it; new ones pass.
            try run(
                """
                p=$(ss -Htn state established '( dport = :22 )' | awk '{print $3}' | sed 's/.*://')
                for t in iptables ip6tables; do
                    $t -I OUTPUT -p tcp --sport $p -j DROP; $t -I INPUT -p tcp --dport $p -j DROP
                done
                """)
        }
        let turn = try scene.holding("a", on: one)
        #expect(turn.says(Self.passedOver) && turn.says("`ssh -O exit lab@bench` ends it"), "\(turn.said)")
        try expectLeaves(turn)
        let doctor = try one.start(["semq", "doctor", "--rsh", "ssh", "lab@bench:board.queue"]).wait()
        #expect(doctor.status == .exited(0) && doctor.out.contains("over which nothing comes back"), "\(doctor)")
    }

    /// In the middle of a turn.
    @Test func aConnectionThatDiesInTheMiddle() throws {
        try expectLeaves(scene.holding("first", on: one))
        try open()
        let turn = try scene.holding("a", on: one, ["--lease", "10"])
        kill(try #require(try persisting()), SIGSTOP)
        // Nobody need be told: another is made before that.
        let before = logIns()
        #expect(Scene.comesToBe { logIns() > before }, "\(turn.said)")
        let isLost = Event.happens(within: 8) { turn.running.hasEnded }
        #expect(!isLost, "\(turn.said)")
        try expectLeaves(turn)
    }

    // MARK: what else a configuration may say of a session

    @Test(arguments: ["StdinNull yes", "ForkAfterAuthentication yes", "SessionType none"], Transport.allCases)
    func whatWouldBreakTheStreams(_ setting: String, _ transport: Transport) throws {
        scene.transport = transport
        try run("printf ' \(setting)\\n' >>~/.ssh/config")
        try expectLeaves(scene.holding("a", on: one))
    }
}
