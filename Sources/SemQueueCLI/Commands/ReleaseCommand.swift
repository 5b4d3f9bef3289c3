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
            if tellKept() { return .gone }
            Terminal.say("\(name): no ticket \(ticket) waits or holds here (any more); see: semq status \(name)")
            return .gone
        }
        // A holder's tree is asked, given its grace, killed and reaped; a waiter looks at least each 15 seconds.
        var deadline = Duration.monotonic() + max(grace + .seconds(10), .seconds(20))
        var nextLook: Duration? = .monotonic() + .seconds(1)
        while try isAlive(administration) {
            let now = Duration.monotonic()
            if let look = nextLook, now >= look {
                let obstacle = tellObstacle()
                nextLook = obstacle == nil ? now + .seconds(1) : nil
                // In nobody's way meanwhile.
                if obstacle == .stopped, case .waiter = subject { return .success }
                if obstacle == .cutOff { deadline = max(deadline, now + Lease.longest + .seconds(10)) }
            }
            guard now < deadline else {
                Terminal.say(
                    "\(name): ticket \(ticket) has been told to go, and has not gone yet; see: semq status \(name)")
                return .io
            }
            var pause = timespec(tv_sec: 0, tv_nsec: 20_000_000)
            nanosleep(&pause, nil)
        }
        if tellKept() { return .success }
        switch subject {
        case .holder(let party):
            Terminal.say("\(name): ended the turn of \(party.user)@\(party.host): \(party.description)")
        case .waiter(let party):
            Terminal.say("\(name): took \(party.user)@\(party.host) out of the queue: \(party.description)")
        }
        return .success
    }

    private enum Obstacle { case cutOff, stopped }

    /// Whom nobody hears of just now can't be told: its turn ends with its lease. Nor can one that stands still.
    private func tellObstacle() -> Obstacle? {
        let status = try? semaphore.status()
        if let holder = status?.holders.first(where: { $0.ticket.number == ticket }) {
            if holder.isCutOff, let end = holder.leaseExpires {
                Terminal.say(
                    "\(semaphore.name): \(holder.party.user)@\(holder.party.host) is cut off; it is told when it is back, "
                        + "or the turn ends at \(end.local(relativeTo: .now())) with its lease")
                return .cutOff
            }
            return holder.isStopped ? tellStopped(holder.leaseExpires == nil ? "" : "the agent of ", holder.party) : nil
        }
        guard let waiter = status?.waiting.first(where: { $0.ticket.number == ticket }), waiter.isStopped else {
            return nil
        }
        return tellStopped(waiter.isCutOff ? "the agent of " : "", waiter.party)
    }

    private func tellStopped(_ agent: String, _ party: Party) -> Obstacle {
        Terminal.say(
            "\(semaphore.name): \(agent)\(named(party)) is stopped; it has been told, and leaves when it goes on "
                + "(kill -CONT)")
        return .stopped
    }

    private func named(_ party: Party) -> String { "\(party.user)@\(party.host) (pid \(party.pid))" }

    /// Says where nobody is left to be told, and yet what the turn was for may still run on another host.
    /// - Returns: false where the slot isn't kept.
    private func tellKept() -> Bool {
        let holders = (try? semaphore.status())?.holders ?? []
        guard let holder = holders.first(where: { $0.ticket.number == ticket && $0.isCutOff }),
            let end = holder.leaseExpires
        else { return false }
        Terminal.say(
            "\(semaphore.name): the agent of \(named(holder.party)) has died, and nobody is left to be told; the slot is "
                + "kept until \(end.local(relativeTo: .now())), when the lease is over")
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
