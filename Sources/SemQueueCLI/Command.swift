internal import SemQueue

/// The subcommands.
enum Command {
    static func run(_ arguments: [String]) throws -> ExitCode {
        let rest = Array(arguments.dropFirst(2))
        switch arguments.dropFirst().first {
        case "acquire": return try AcquireCommand(rest).run()
        case "status": return try StatusCommand(rest).run()
        case "set": return try SetCommand(rest).run()
        case "release": return try ReleaseCommand(rest).run()
        case "history": return try HistoryCommand(rest).run()
        case "doctor": return try DoctorCommand(rest).run()
        case "link": return try LinkCommand(rest).run()
        case "agent": return try AgentProcess(rest).run()
        case "help", "--help", "-h":
            Terminal.print(try Help.text(for: rest.first))
            return .success
        case "--version", "-V":
            Terminal.print("semq \(Version.current)")
            return .success
        case nil:
            Terminal.complain(Help.overview)
            return .usage
        case .some(let word) where word.hasPrefix("-"):
            throw SemaphoreError(.usage, "‘\(word.printable)’ is no option; see: semq --help")
        case .some(let word):
            throw SemaphoreError(.usage, "there is no command ‘\(word.printable)’; see: semq --help")
        }
    }
}
