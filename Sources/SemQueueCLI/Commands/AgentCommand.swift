internal import SemQueue

/// `semq agent`: started over SSH by a semq on another host.
struct AgentProcess {
    private let policy: AgentPolicy

    init(_ words: [String]) throws {
        let options = try Options("agent", words, [.init("restrict", argument: true), .init("existing")])
        if options.has("help") { throw HelpAsked(command: "agent") }
        guard options.operands.isEmpty, options.trailing == nil else {
            throw SemaphoreError(.usage, "agent: takes no operands; it is started by a semq on another host")
        }
        policy =
            try options.value("restrict").map { try AgentPolicy(below: $0, mayMake: !options.has("existing")) }
            ?? .open
    }

    func run() throws -> ExitCode {
        try Agent(policy, version: Version.current).run()
        return .success
    }
}
