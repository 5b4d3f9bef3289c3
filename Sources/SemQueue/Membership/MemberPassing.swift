internal import Glibc

/// Going past those ahead who stand still. It bears on the order alone.
///
/// One that is stopped, where /proc shows it, is in nobody's way as long as it is: whoever comes next looks for itself.
/// All others are passed when ``Turn`` has lost patience, and that is noted for the next.
extension Member {
    func isPassed(_ ticket: Ticket, _ header: Header?) -> Bool { header?.passed.contains(ticket) ?? false }

    /// Notes who stood still, so that whoever comes behind need not find out anew.
    func pass(_ ahead: [Ticket], _ header: inout Header) {
        guard !ahead.isEmpty else { return }
        let before = header.passed.filter { own.isAlive($0) }
        header.passed = Array((ahead + before).prefix(Header.maximumPassed))
    }

    // MARK: the stopped ones

    /// Whether somebody who waits is stopped; false where that can't be seen, such as in another pid namespace.
    func isStopped(_ ticket: Ticket) -> Bool {
        guard let process = WaiterLine.record(of: ticket, in: book)?.process else { return false }
        return LockOwner.isStopped(process, locking: LockSpace.place(ticket), in: ino_t(file.identity.inode))
    }

    /// The stopped ones right ahead, the nearest first. Those beyond somebody who is awake are its own affair.
    func stoppedOnes(from nearest: Ticket?, _ header: Header?) -> [Ticket] {
        var found: [Ticket] = []
        var next = nearest
        while let ticket = next, found.count < Self.mostStopped {
            if !isPassed(ticket, header) {
                guard isStopped(ticket) else { break }
                found.append(ticket)
            }
            next = gate.description.nearestAhead(of: ticket)
        }
        return found
    }

    /// Each costs a look at every lock on the file.
    private static let mostStopped = 64

    // MARK: telling it

    /// - Parameter tickets: nearest first.
    func tellPassed(_ tickets: [Ticket]) {
        guard let head = tickets.last else { return }
        news.tell {
            let record = WaiterLine.record(of: head, in: book)
            let party = record?.party
            let process = record?.agent.map { "its agent's pid here is \($0)" } ?? "pid \(party?.pid ?? 0)"
            let who = party.map { "\($0.user)@\($0.host) (\(process))" } ?? "ticket \(head.number)"
            let others = tickets.count - 1
            let verb = others == 0 ? "stands still and is passed" : "and \(others) more stand still and are passed"
            observer.tells("\(path): \(who) \(verb)\(party.map { ": \($0.description)" } ?? "")")
        }
    }
}
