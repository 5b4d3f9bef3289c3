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
            Terminal.say("\(name): no ticket \(ticket) waits or holds here (any more); see: semq status \(name)")
            return .gone
        }
        // A holder's tree is asked, given its grace, killed and reaped; a waiter looks at least each 15 seconds.
        var deadline = Duration.monotonic() + max(grace + .seconds(10), .seconds(20))
        var nextLook: Duration? = .monotonic() + .seconds(1)
        while try isAlive(administration) {
            let now = Duration.monotonic()
            if let look = nextLook, now >= look {
                let isCutOff = tellWhereCutOff()
                nextLook = isCutOff ? nil : now + .seconds(1)
                if isCutOff { deadline = max(deadline, now + Lease.longest + .seconds(10)) }
            }
            guard now < deadline else {
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

    /// Whom nobody hears of just now can't be told: its turn ends with its lease.
    private func tellWhereCutOff() -> Bool {
        let holders = (try? semaphore.status())?.holders ?? []
        guard let holder = holders.first(where: { $0.ticket.number == ticket }), holder.isCutOff,
            let end = holder.leaseExpires
        else { return false }
        let who = "\(holder.party.user)@\(holder.party.host)"
        Terminal.say(
            "\(semaphore.name): \(who) is cut off; it is told when it is back, or the turn ends at "
                + "\(end.local(relativeTo: .now())) with its lease")
        return true
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
