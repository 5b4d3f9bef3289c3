import SemQueueTestSupport
import Testing

/// Accounts that don't let in, or not for this; names that don't exist.
@Suite(.onHosts) struct AccountTests {
    @Test(arguments: Transport.allCases) func refusals(_ transport: Transport) throws {
        let lab = try TestLab()
        _ = try lab.host("nologin", HostOptions { $0.shell = "/usr/sbin/nologin" })
        _ = try lab.host("false", HostOptions { $0.shell = "/bin/false" })
        _ = try lab.host("sftp", HostOptions { $0.sshd = ["Match User lab", "ForceCommand internal-sftp"] })
        _ = try lab.host("nokey", HostOptions { $0.authorizedKeys = "" })
        _ = try lab.host("down").sshd(.stop)
        let client = try lab.client("one")
        let cases: [(address: String, code: Int32, text: String)] = [
            ("lab@nologin", 69, "This account is currently not available."),
            ("lab@false", 69, "commands can't be run there"),
            ("lab@sftp", 69, "This service allows sftp connections only."),
            ("lab@nokey", 77, transport == .own ? "nokey:22 does not let lab log in" : "Permission denied"),
            ("nobodythere@sftp", 77, transport == .own ? "does not let nobodythere log in" : "Permission denied"),
            ("lab@nohost", 69, "Name or service not known"),
            ("lab@down", 69, "refused"),
        ]
        for (address, code, text) in cases {
            let words = ["semq", "acquire", "\(address):board.queue"] + transport.options + ["--", "true"]
            let result = try client.start(words).wait()
            #expect(result.status == .exited(code), "\(address): \(result.err)")
            #expect(result.err.hasPrefix("semq: \(address): ") && result.err.contains(text), "\(result.err)")
            #expect(result.err.split(separator: "\n").count == 1, "\(result.err)")
        }
    }
}
