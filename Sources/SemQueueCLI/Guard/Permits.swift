internal import CSemQueue
internal import SemQueue

/// What a command runs under: permits of its own, and those of commands that it runs inside of.
struct Permits {
    var grants: [any Grant]
    var nested: [Nesting.Nested] = []
    /// What the command is told of each, in the order of the command line.
    private(set) var told: [Told] = []

    /// A permit as the command sees it, its own or one of a command around it.
    struct Told {
        var path: String
        var ticket: Ticket
        var slot: Int
        var token: Int64

        init(_ grant: any Grant) { (path, ticket, slot, token) = (grant.path, grant.ticket, grant.slot, grant.token) }

        init(_ path: String, _ found: Nesting.Found) {
            (self.path, ticket, slot, token) = (path, found.held.ticket, found.slot, found.held.token)
        }
    }

    /// The descriptors that carry the locks: the command gets them too.
    var descriptors: [Int32] { grants.compactMap(\.descriptor) + nested.map(\.descriptor) }

    /// Gives everything back, in whichever process it is called.
    /// - Parameter mayBeDone: somebody who was killed may have done it already.
    func release(mayBeDone: Bool = false) {
        for grant in grants.reversed() { grant.release(mayBeDone: mayBeDone) }
        for nested in nested { nested.release() }
    }

    /// The first permit that no longer stands, and why.
    func loss() -> (grant: any Grant, loss: PermitLoss)? { grants.loss() }

    /// All that no longer stand: each may leave another time to what runs under them.
    func losses() -> [(grant: any Grant, loss: PermitLoss)] {
        grants.compactMap { grant in grant.loss().map { (grant, $0) } }
    }

    /// One of them has been lost before its command could be started.
    var areTooLate: Bool {
        guard let startUntil = earliest({ $0.startsUntil }) else { return false }
        return .sinceBoot() >= startUntil
    }

    /// Until when all of them stand if nothing more is heard; nil: for good.
    var standUntil: Duration? { earliest { $0.standsUntil } }

    /// When all that runs under them is to be killed if nothing more is heard; nil: never.
    var killBy: Duration? { earliest { $0.killBy } }

    private func earliest(_ time: (any Grant) -> Duration?) -> Duration? {
        var earliest: Duration?
        for grant in grants {
            if let time = time(grant) { earliest = min(earliest ?? time, time) }
        }
        return earliest
    }

    /// Keeps the permits that are on other hosts from now on, in this process; its first thread is sent an alarm
    /// when there is news of them. One that can't be kept is lost before long, by its clock.
    func keep() {
        for grant in grants { try? grant.keep { semq_signal_main_thread(Signals.alarm) } }
    }

    /// What the command finds in its environment: one line for each permit where there are several.
    func environment(held: Nesting) -> [(name: String, value: String)] {
        guard !told.isEmpty else { return [] }
        var held = held
        for grant in grants { held.add(grant) }
        func lines(_ value: (Told) -> String) -> String { told.map(value).joined(by: "\n") }
        return [
            ("SEMQ_SEMAPHORE", lines(\.path)),
            ("SEMQ_TICKET", lines { String($0.ticket.number) }),
            ("SEMQ_SLOT", lines { String($0.slot) }),
            ("SEMQ_TOKEN", lines { String($0.token) }),
            (Nesting.variable, held.environment), (Nesting.secretVariable, held.secrets),
        ]
    }

    // MARK: across a fork

    /// As words, for a process that was forked before the grant and has the same descriptors.
    var handover: [String] {
        grants.compactMap { $0 as? LocalGrant }.map { "grant\n" + $0.handover }
            + nested.map { "nested\n\($0.descriptor)" }
    }

    /// - Parameters:
    ///   - enclosing: permits of commands around, by the paths that were named.
    ///   - order: the paths of the command line.
    init(grants: [any Grant], enclosing: [(path: String, found: Nesting.Found)], order: [String]) {
        self.grants = grants
        nested = enclosing.map(\.found.nested)
        for path in order where !told.contains(where: { $0.path == path }) {
            if let grant = grants.first(where: { $0.path == path }) {
                told.append(Told(grant))
            } else if let permit = enclosing.first(where: { $0.path == path }) {
                told.append(Told(path, permit.found))
            }
        }
    }

    init(handover: [String]) {
        grants = []
        for part in handover {
            let kind = part.prefix { $0 != "\n" }
            let rest = String(part.dropFirst(kind.count + 1))
            if kind == "grant", let grant = LocalGrant(handover: rest) {
                grants.append(grant)
            } else if kind == "nested", let descriptor = Int32(rest) {
                nested.append(Nesting.Nested(descriptor: descriptor))
            } else {
                // A guardian without its permits would guard nothing; when it dies of this, `semq` takes over with its own.
                preconditionFailure("no permit can be read from what was handed over")
            }
        }
    }
}
