internal import SemQueue

/// `semq agent`: started over SSH by a semq on another host.
struct AgentProcess {
    init(_ words: [String]) throws {
        let options = try Options("agent", words, [])
        if options.has("help") { throw HelpAsked(command: "agent") }
    }

    func run() throws -> ExitCode {
        try Agent().run()
        return .success
    }
}
