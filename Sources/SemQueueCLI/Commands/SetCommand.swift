internal import SemQueue

/// `semq set`: changes the concurrency, pauses and resumes.
struct SetCommand {
    private let semaphore: any NamedSemaphore
    private let concurrency: Int?
    private let pause: String?
    private let resumes: Bool
    private let anyFilesystem: Bool

    static let options: [Options.Option] =
        [
            .init("concurrency", argument: true), .init("pause", argument: true), .init("resume"),
            .init("any-filesystem"),
        ] + Hosts.options

    init(_ words: [String]) throws {
        let options = try Options("set", words, Self.options)
        if options.has("help") { throw HelpAsked(command: "set") }
        let operands = options.operands + (options.trailing ?? [])
        guard operands.count == 1 else {
            throw SemaphoreError(.usage, "set: name one semaphore, such as board.queue; see: semq set --help")
        }
        semaphore = try Hosts.semaphores(operands, options)[0]
        concurrency = try options.integer("concurrency", in: Request.concurrencies, Request.concurrencyWanted)
        pause = options.value("pause")
        resumes = options.has("resume")
        anyFilesystem = options.has("any-filesystem")
        guard pause == nil || !resumes else {
            throw SemaphoreError(.usage, "set: --pause and --resume exclude each other")
        }
        guard concurrency != nil || pause != nil || resumes else {
            throw SemaphoreError(.usage, "set: say --concurrency N, --pause REASON or --resume")
        }
        if let pause, pause.allSatisfy(\.isWhitespace) {
            throw SemaphoreError(.usage, "set: --pause wants a reason, for those who wait")
        }
    }

    func run() throws -> ExitCode {
        // Only a concurrency is reason enough to make a queue.
        let administration = try semaphore.administration(create: concurrency != nil, anyFilesystem: anyFilesystem)
        let name = semaphore.name
        if let concurrency {
            let change = try administration.setConcurrency(concurrency)
            let made = change.made.map { "made the queue \($0), " } ?? "\(name): "
            let draining = change.holding > concurrency ? "; \(change.holding) hold it until they have ended" : ""
            Terminal.say("\(made)concurrency \(concurrency)\(draining)")
        }
        if let pause {
            let change = try administration.pause(reason: pause)
            let holding =
                change.holding == 0 ? "" : "; \(change.holding) hold\(change.holding == 1 ? "s" : "") on until done"
            Terminal.say("\(name): paused: \(pause)\(holding)")
        }
        if resumes {
            _ = try administration.resume()
            Terminal.say("\(name): resumed")
        }
        return .success
    }
}
