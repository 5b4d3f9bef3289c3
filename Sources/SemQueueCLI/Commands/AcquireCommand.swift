internal import CSemQueue
internal import Glibc
internal import SemQueue

/// `semq acquire`: waits for its turn and runs a command, or holds until told to stop.
struct AcquireCommand {
    private let semaphores: [any NamedSemaphore]
    /// Nil holds without a command.
    private let command: [Options.Word]?
    private let mode: Mode
    private let request: Request
    private let notGranted: ExitCode
    private let end: TurnEnd
    private let talk: Talk
    /// Runs the command on the semaphore's host.
    private let there: ThereCommand?

    enum Mode {
        case one, any, all
    }

    /// How much is said on standard error.
    enum Talk: Comparable {
        case quiet, normal, verbose
    }

    static let options: [Options.Option] =
        [
            .init("nonblock", "n"), .init("nb"), .init("wait", "w", argument: true), .init("timeout", argument: true),
            .init("conflict-exit-code", "E", argument: true), .init("command", "c", argument: true),
            .init("description", "m", argument: true), .init("quiet", "q"), .init("verbose", "v"),
            .init("priority", argument: true), .init("concurrency", argument: true), .init("existing"), .init("any"),
            .init("all"), .init("any-filesystem"), .init("lease", argument: true), .init("on-lost", argument: true),
            .init("retry-connect", argument: true), .init("there"), .init("until", argument: true),
            .init("grace", argument: true),
        ] + Hosts.options

    init(_ words: [String]) throws {
        let options = try Options("acquire", words, Self.options)
        if options.has("help") { throw HelpAsked(command: "acquire") }
        let remote = try Self.remote(options)
        semaphores = try Hosts.semaphores(options.operands, options, remote)
        mode = try Self.mode(options)
        command = try Self.command(options)
        notGranted = ExitCode(
            rawValue: Int32(try options.integer("conflict-exit-code", in: 0...255, "an exit code from 0 to 255") ?? 75))
        talk = options.has("quiet") ? .quiet : options.has("verbose") ? .verbose : .normal
        end = try Self.end(options, tells: talk > .quiet)
        var request = Request()
        request.priority = try options.integer("priority", in: Ticket.priorities, "a number from -1000 to 1000") ?? 0
        request.concurrency = try options.integer("concurrency", in: Request.concurrencies, Request.concurrencyWanted)
        request.existing = options.has("existing")
        request.anyFilesystem = options.has("any-filesystem")
        request.description = options.value("description") ?? Self.describe(options)
        request.limit = try options.seconds("wait") ?? options.seconds("timeout")
        if options.has("nonblock") || options.has("nb") { request.limit = .zero }
        request.party = OnBehalf.current?.party
        self.request = request
        there = options.has("there") ? try ThereCommand(options, semaphores, request) : nil
    }

    private static func remote(_ options: Options) throws -> RemoteSemaphore.Options {
        var remote = RemoteSemaphore.Options()
        remote.isVerbose = options.has("verbose")
        remote.hasCommand = options.word("command") != nil || options.trailing != nil
        remote.held = Nesting.inherited()
        if let lease = try options.seconds("lease") {
            guard RemoteSemaphore.Options.leases.contains(lease) else {
                throw options.wrong("lease", options.value("lease")!, "5 to 60 seconds")
            }
            remote.lease = lease
        }
        remote.retryConnect = try options.seconds("retry-connect")
        switch options.value("on-lost") {
        case nil, "kill": break
        case "warn": remote.warnsOnly = true
        case let text?: throw options.wrong("on-lost", text, "kill or warn")
        }
        return remote
    }

    private static func end(_ options: Options, tells: Bool) throws -> TurnEnd {
        var end = TurnEnd(tells: tells)
        if let text = options.value("until") {
            guard let until = GuardState.Until(rawValue: text) else {
                throw options.wrong("until", text, "command, session or tree")
            }
            end.until = until
        }
        if let grace = try options.seconds("grace") { end.grace = min(grace, .seconds(3600)) }
        return end
    }

    private static func mode(_ options: Options) throws -> Mode {
        let help = "see: semq acquire --help"
        switch (options.has("any"), options.has("all"), options.operands.count) {
        case (_, _, 0): throw SemaphoreError(.usage, "acquire: name the semaphore, such as board.queue; \(help)")
        case (true, true, _): throw SemaphoreError(.usage, "acquire: --any and --all exclude each other")
        case (true, _, _): return .any
        case (_, true, _): return .all
        case (_, _, 1): return .one
        default:
            let second = options.operands[1].printable
            throw SemaphoreError(
                .usage,
                "acquire: ‘\(second)’ would be a second semaphore: for several say --any or --all; "
                    + "a command goes behind --, as in: semq acquire \(options.operands[0].printable) -- \(second)")
        }
    }

    private static func command(_ options: Options) throws -> [Options.Word]? {
        if let line = options.word("command") {
            guard options.trailing == nil else {
                throw SemaphoreError(.usage, "acquire: a command is given twice, by -c and behind --")
            }
            let shell = Environment.value("SHELL").flatMap { $0.isEmpty ? nil : $0 }
            return [strdup(shell ?? "/bin/sh"), strdup("-c"), line]
        }
        guard let trailing = options.trailing else { return nil }
        guard !trailing.isEmpty else {
            throw SemaphoreError(.usage, "acquire: no command stands behind --; leave -- out to hold without one")
        }
        return options.trailingWords
    }

    private static func describe(_ options: Options) -> String {
        options.value("command") ?? options.trailing?.joined(by: " ") ?? "(held without a command)"
    }

    func run() throws -> ExitCode {
        if let there { return try there.run() ?? refusal(.timedOut, semaphores[0]) }
        let inherited = InheritedSignals()
        InheritedSignals.outliveReaders()
        let guarded = command.map { GuardedCommand($0, inherited: inherited, end: end) }
        if guarded != nil, semaphores.contains(where: { !($0 is LocalSemaphore) }) { Carriers.keep() }
        let held = Nesting.inherited()
        var enclosing: [(path: String, found: Nesting.Found)] = []
        var open: [any NamedSemaphore] = []
        for semaphore in semaphores {
            if let found = try (semaphore as? LocalSemaphore)?.permit(among: held, request) {
                // The same queue by two names counts once.
                if !enclosing.contains(where: { $0.found.held == found.held }) {
                    enclosing.append((semaphore.name, found))
                }
                if talk == .verbose {
                    Terminal.say("\(semaphore.name): runs under the permit of the command around it")
                }
            } else {
                open.append(semaphore)
            }
        }
        // With --any, one that is held already is the first to be had.
        if mode == .any, let first = enclosing.first { (enclosing, open) = ([first], []) }
        let display = WaitingDisplay(talk: talk, isSingle: open.count == 1) { locks in
            guard let locks else { return guarded?.discard() ?? () }
            try? guarded?.prepare(privateDescriptors: [locks.privateDescriptor])
        }
        display.begin()
        switch try acquire(open, display) {
        case .granted(let grants):
            OnBehalf.current?.tell(of: grants)
            display.end()
            let permits = Permits(grants: grants, enclosing: enclosing, order: semaphores.map(\.name))
            if let death = display.death {
                permits.release()
                semq_die_by(death)
            }
            return try guarded?.run(under: permits, held: held) ?? Hold(permits: permits, talks: talk > .quiet).run()
        case .refused(let outcome, let semaphore):
            display.end()
            if let death = display.death { semq_die_by(death) }
            if mode == .any, open.count > 1, let verb = outcome.refusesAll {
                // None of them was to be had: each has its own reason.
                if talk > .quiet { for semaphore in open { Terminal.say(Self.obstacle(semaphore, verb)) } }
                return notGranted
            }
            return refusal(outcome, semaphore)
        }
    }

    private static func obstacle(_ semaphore: any NamedSemaphore, _ verb: String) -> String {
        let why = WaitingDisplay.obstacle(semaphore)
        return "\(semaphore.name): \(verb)\(why.map { ": \($0)" } ?? "")"
    }

    private func acquire(_ semaphores: [any NamedSemaphore], _ display: WaitingDisplay) throws -> SeveralOutcome {
        guard let first = semaphores.first else { return .granted([]) }
        if semaphores.count == 1 { return try Several.one(first, request, observer: display) }
        return mode == .any
            ? try Several.any(semaphores, request, alarm: display.alarm, observer: display)
            : try Several.all(semaphores, request, alarm: display.alarm, observer: display)
    }

    private func refusal(_ outcome: Outcome, _ semaphore: any NamedSemaphore) -> ExitCode {
        var (message, code) = (semaphore.name, notGranted)
        switch outcome {
        case .granted: return .success
        case .busy(.held): message += ": busy\(WaitingDisplay.holders(semaphore).map { ": \($0)" } ?? "")"
        case .busy(.paused(let reason, let by)): message += ": paused by \(by): \(reason)"
        case .busy(.full):
            message += ": as many wait as a queue has room for (\(QueueStatus.maximumWaiting)); try again later"
        case .timedOut: message = Self.obstacle(semaphore, "not granted in time")
        case .removed(let by, let reason):
            (message, code) = ("\(semaphore.name): \(by) took this turn out of the queue: \(reason)", .lost)
        case .cancelled: message += ": given up"
        }
        if talk > .quiet { Terminal.say(message) }
        return code
    }
}

extension Outcome {
    /// What is said of each of several semaphores when none was granted; nil where one alone gave the reason.
    fileprivate var refusesAll: String? {
        switch self {
        case .busy(.held), .busy(.paused): "busy"
        case .timedOut: "not granted in time"
        default: nil
        }
    }
}

/// `--help` stands among the options.
struct HelpAsked: Error {
    var command: String
}
