internal import Glibc
internal import SemQueue

/// `semq release`: ends somebody's turn, with a reason.
struct ReleaseCommand {
    private let path: String
    private let ticket: Int64
    private let reason: String
    private let grace: Duration

    init(_ words: [String]) throws {
        let options = try Options(
            "release", words,
            [.init("ticket", argument: true), .init("reason", argument: true), .init("grace", argument: true)])
        if options.has("help") { throw HelpAsked(command: "release") }
        let operands = options.operands + (options.trailing ?? [])
        guard operands.count == 1 else {
            throw SemaphoreError(.usage, "release: name one semaphore, such as board.queue; see: semq release --help")
        }
        path = try Address.localPath(operands[0])
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
        let administration = try Administration(path, create: false)
        guard let subject = try administration.remove(ticket: ticket, reason: reason, grace: grace) else {
            throw SemaphoreError(
                .usage, "\(path): no ticket \(ticket) waits or holds here (any more); see: semq status \(path)")
        }
        // A holder's tree is asked, given its grace, killed and reaped; a waiter looks at least each five seconds.
        let deadline = Duration.monotonic() + grace + .seconds(10)
        while administration.isAlive(ticket) {
            guard Duration.monotonic() < deadline else {
                Terminal.say(
                    "\(path): ticket \(ticket) has been told, but does not go; is it stopped? see: semq status \(path)")
                return .io
            }
            var pause = timespec(tv_sec: 0, tv_nsec: 20_000_000)
            nanosleep(&pause, nil)
        }
        switch subject {
        case .holder(let party):
            Terminal.say("\(path): ended the turn of \(party.user)@\(party.host): \(party.description)")
        case .waiter(let party):
            Terminal.say("\(path): took \(party.user)@\(party.host) out of the queue: \(party.description)")
        }
        return .success
    }
}
