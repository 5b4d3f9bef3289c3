import Foundation
import SemQueueTestSupport
import Testing

@testable import SSHTransport

/// A network that fails under a session, between real hosts.
@Suite(.enabled(if: Machine.has(.root, .hosts))) struct CutTests {
    private func connect(
        _ lab: TestLab, _ host: TestHost, _ lines: [String] = [], _ change: (inout SSHOptions) -> Void = { _ in }
    ) throws -> SSHSession {
        let own = try String(contentsOfFile: lab.about.config, encoding: .utf8)
        let workshop = try Workshop()
        let config = try workshop.write("config", (lines + [own]).joined(separator: "\n"))
        var options = SSHOptions()
        options.configuration = try SSHConfiguration.resolve(
            SSHDestination(host: host.name), program: ["ssh", "-F", config])
        change(&options)
        return try SSHSession.connect(to: SSHDestination(host: host.name), options: options)
    }

    @Test func aSessionWithServerAliveEndsWhenPacketsVanish() throws {
        let lab = try TestLab()
        let host = try lab.host("far")
        let session = try connect(lab, host, ["ServerAliveInterval 1", "ServerAliveCountMax 2"])
        let channel = try session.exec("sleep 100", input: -1, output: -1, error: -1)
        try host.drop()
        #expect(channel.wait(atMost: .seconds(20)) == .unknown)
        session.close()
        #expect(session.failure?.message.contains("is lost: Connection timed out") == true)
    }

    @Test func aSessionOutlivesAShortCut() throws {
        let lab = try TestLab()
        let host = try lab.host("far")
        let session = try connect(lab, host)
        defer { session.close() }
        let ends = try Ends()
        let channel = try session.exec(
            "cat", input: ends.theirs, output: fcntl(ends.theirs, F_DUPFD_CLOEXEC, 3), error: -1)
        try host.drop()
        #expect(write(ends.ours, "hello", 5) == 5)
        #expect(channel.wait(atMost: .milliseconds(500)) == nil)
        try host.heal()
        #expect(ends.read(5) == 5)
        shutdown(ends.ours, Int32(SHUT_WR))
        #expect(channel.wait() == .exited(0))
        close(ends.ours)
    }

    @Test func aResetEndsASession() throws {
        let lab = try TestLab()
        let host = try lab.host("far")
        let session = try connect(lab, host)
        let channel = try session.exec("sleep 100", input: -1, output: -1, error: -1)
        try host.resetConnections()
        #expect(channel.wait() == .unknown)
        session.close()
        #expect(session.failure?.kind == .lost)
    }

    @Test func aHostThatIsUnpluggedDoesNotHoldUpTheEnd() throws {
        let lab = try TestLab()
        let host = try lab.host("far")
        let session = try connect(lab, host) { $0.limits.close = .milliseconds(500) }
        let channel = try session.exec("sleep 100", input: -1, output: -1, error: -1)
        try host.unplug()
        let began = ContinuousClock.now
        session.close()
        #expect(channel.wait() == .unknown)
        #expect(ContinuousClock.now - began < .seconds(5))
    }

    @Test func aHostIsReachedByIPv6() throws {
        let lab = try TestLab()
        let host = try lab.host("far")
        let session = try connect(lab, host, ["Host far", "HostName \(host.address6)", "HostKeyAlias far"])
        #expect(try session.run("echo six").out == "six\n")
        session.close()
    }
}
