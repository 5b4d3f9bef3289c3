/// Those who have come to an agent's rendezvous and have not shown the secret yet. Bounded in number and in time: who
/// says nothing makes way. No I/O; time, on CLOCK_BOOTTIME, is passed in.
struct Visitors<Visitor> {
    private(set) var all: [(visitor: Visitor, since: Duration)] = []

    static var most: Int { 16 }
    /// A relay says what it wants in the moment in which it comes.
    static var patience: Duration { .seconds(10) }
    /// How long each has in any case, however many come.
    static var least: Duration { .milliseconds(500) }

    /// Whether another may come in.
    func hasRoom(at now: Duration) -> Bool { all.count < Self.most || now >= all[0].since + Self.least }

    /// Lets one in.
    /// - Returns: who makes way for it: the one that has been silent for longest.
    mutating func admit(_ visitor: Visitor, at now: Duration) -> Visitor? {
        all.append((visitor, now))
        return all.count > Self.most ? all.removeFirst().visitor : nil
    }

    enum Word<Said> {
        /// Nothing yet.
        case nothing
        case said(Said)
        case left
    }

    /// Listens to each.
    /// - Parameters:
    ///   - listen: what a visitor says.
    ///   - dismiss: is called with those whose time is over, and those who have left.
    /// - Returns: those who have said something; they are no longer among the visitors.
    mutating func hear<Said>(
        at now: Duration, _ listen: (Visitor) -> Word<Said>, dismiss: (Visitor) -> Void
    ) -> [(visitor: Visitor, said: Said)] {
        var heard: [(visitor: Visitor, said: Said)] = []
        all.removeAll { visitor, since in
            switch listen(visitor) {
            case .nothing:
                guard now >= since + Self.patience else { return false }
                dismiss(visitor)
            case .left: dismiss(visitor)
            case .said(let said): heard.append((visitor, said))
            }
            return true
        }
        return heard
    }
}
