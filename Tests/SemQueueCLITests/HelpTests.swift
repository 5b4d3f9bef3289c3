import SemQueueTestSupport
import Testing

/// `--help` of each command.
@Suite struct HelpTests {
    @Test(arguments: [
        (
            "acquire",
            [
                "-n, --nonblock", "-w, --wait", "-E, --conflict-exit-code", "-c, --command", "-m, --description",
                "--priority", "--concurrency", "--existing", "--any", "--all", "--any-filesystem", "-q, --quiet",
                "-v, --verbose", "--lease", "--on-lost", "--retry-connect", "--there", "--rsh", "--no-bootstrap",
                "SEMQ_SEMAPHORE", "SEMQ_TICKET", "SEMQ_SLOT", "SEMQ_TOKEN",
            ]
        ),
        ("status", ["--json", "--watch", "--rsh", "--no-bootstrap"]),
        ("set", ["--concurrency", "--pause", "--resume", "--rsh", "--no-bootstrap"]),
        ("release", ["--ticket", "--reason", "--grace", "--rsh", "--no-bootstrap"]),
        ("history", ["--json", "--rsh", "--no-bootstrap"]), ("doctor", ["SEMAPHORE", "--rsh", "--no-bootstrap"]),
        ("agent", ["--restrict", "--existing"]), ("link", ["HOST COMMAND"]),
    ])
    func helpNamesEveryOptionAndFitsAScreen(_ command: String, _ words: [String]) throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq(command, "--help")
        #expect(result.status == .exited(0))
        #expect(result.err == "")
        #expect(result.out.hasPrefix("Usage: semq \(command) "))
        for word in words { #expect(result.out.contains(word)) }
        #expect(result.out.split(separator: "\n").allSatisfy { $0.count <= 100 })
        #expect(try sandbox.semq(command, "-h") == result)
        #expect(try sandbox.semq("help", command) == result)
        #expect(try sandbox.semq(command, "q", "--help").out == result.out, "wherever it stands")
    }

    @Test func helpBehindTheDashesBelongsToTheCommand() throws {
        let result = try Sandbox().semq("acquire", "-q", "q", "--", "sh", "-c", "echo $1", "sh", "--help")
        #expect(result == .init(status: .exited(0), out: "--help\n", err: ""))
    }
}
