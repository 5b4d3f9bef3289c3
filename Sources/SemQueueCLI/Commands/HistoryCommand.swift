internal import SemQueue

/// `semq history`: what happened at a queue.
struct HistoryCommand {
    private let semaphore: any NamedSemaphore
    private let json: Bool

    static let options: [Options.Option] = [.init("json")] + Hosts.options

    init(_ words: [String]) throws {
        let options = try Options("history", words, Self.options)
        if options.has("help") { throw HelpAsked(command: "history") }
        let operands = options.operands + (options.trailing ?? [])
        guard operands.count == 1 else {
            throw SemaphoreError(.usage, "history: name one semaphore, such as board.queue; see: semq history --help")
        }
        semaphore = try Hosts.semaphores(operands, options)[0]
        json = options.has("json")
    }

    func run() throws -> ExitCode {
        let now = Timestamp.now()
        for line in try semaphore.history() {
            Terminal.print(json ? line : Self.readable(line, now: now))
        }
        if let flaw = (semaphore as? LocalSemaphore)?.historyFlaw { Terminal.say(flaw) }
        return .success
    }

    /// Such as “2026-11-23 14:02:11  released  #12 ann@ws7: flash.sh”.
    static func readable(_ line: String, now: Timestamp) -> String {
        guard let members = JSONReader.members(of: line) else { return "(unreadable)  \(line.printable)" }
        func text(_ name: String) -> String? {
            switch members.first(where: { $0.name == name })?.value {
            case .string(let value): value.printable
            case .integer(let value): "\(value)"
            default: nil
            }
        }
        let event = text("event") ?? "?"
        let padded = event + String(repeating: " ", count: max(1, 12 - event.count))
        var words: [String] = []
        if let ticket = text("ticket") { words.append("#\(ticket)") }
        if let user = text("user"), let host = text("host") { words.append("\(user)@\(host)") }
        if let concurrency = text("concurrency") { words.append("to \(concurrency)") }
        if let by = text("by") { words.append("by \(by)") }
        var why = text("description") ?? text("reason")
        if let description = text("description"), let reason = text("reason") { why = "\(description) (\(reason))" }
        return "\(text("time") ?? "?")  \(padded)\(words.joined(separator: " "))\(why.map { ": \($0)" } ?? "")"
    }
}
