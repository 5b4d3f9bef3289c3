internal import Glibc
internal import SemQueue

/// `semq release`: ends somebody's turn, with a reason.
struct ReleaseCommand {
    private let semaphore: any NamedSemaphore
    private let ticket: Int64
    private let reason: String
    private let grace: Duration

    static let options: [Options.Option] =
        [.init("ticket", argument: true), .init("reason", argument: true), .init("grace", argument: true)]
        + Hosts.options

    init(_ words: [String]) throws {
        let options = try Options("release", words, Self.options)
        if options.has("help") { throw HelpAsked(command: "release") }
        let operands = options.operands + (options.trailing ?? [])
        guard operands.count == 1 else {
            throw SemaphoreError(.usage, "release: name one semaphore, such as board.queue; see: semq release --help")
        }
        semaphore = try Hosts.semaphores(operands, options)[0]
        guard let ticket = try options.ticket() else {
            throw SemaphoreError(
                .usage, "release: say whose turn: --ticket N, as semq status \(operands[0].printable) shows it")
        }
        self.ticket = ticket
        guard let reason = options.value("reason"), !reason.allSatisfy(\.isWhitespace) else {
            throw SemaphoreError(.usage, "release: say --reason TEXT; it is shown to whoever loses the turn")
        }
        self.reason = reason
        grace = min(try options.seconds("grace") ?? .seconds(5), .seconds(3600))
    }

    func run() throws -> ExitCode {
        let name = semaphore.name
        let administration = try semaphore.administration(create: false, anyFilesystem: false)
        guard let subject = try administration.remove(ticket: ticket, reason: reason, grace: grace) else {
            throw SemaphoreError(
                .usage, "\(name): no ticket \(ticket) waits or holds here (any more); see: semq status \(name)")
        }
        // A holder's tree is asked, given its grace, killed and reaped; a waiter looks at least each five seconds.
        let deadline = Duration.monotonic() + grace + .seconds(10)
        while try isAlive(administration) {
            guard Duration.monotonic() < deadline else {
                Terminal.say(
                    "\(name): ticket \(ticket) has been told, but does not go; is it stopped? see: semq status \(name)")
                return .io
            }
            var pause = timespec(tv_sec: 0, tv_nsec: 20_000_000)
            nanosleep(&pause, nil)
        }
        switch subject {
        case .holder(let party):
            Terminal.say("\(name): ended the turn of \(party.user)@\(party.host): \(party.description)")
        case .waiter(let party):
            Terminal.say("\(name): took \(party.user)@\(party.host) out of the queue: \(party.description)")
        }
        return .success
    }

    private func isAlive(_ administration: any QueueAdministration) throws -> Bool {
        do {
            return try administration.isAlive(ticket)
        } catch let error as SemaphoreError where error.code == .unreachable {
            throw SemaphoreError(
                .unreachable,
                "\(error.message); ticket \(ticket) has been told to go, and may have gone: see: semq status \(semaphore.name)"
            )
        }
    }
}
