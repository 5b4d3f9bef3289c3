internal import SemQueue

/// What a command runs under: permits of its own, and those of commands that it runs inside of.
struct Permits {
    var grants: [Grant]
    var nested: [Nesting.Nested] = []

    /// The descriptors that carry the locks: the command gets them too.
    var descriptors: [Int32] { grants.map(\.descriptor) + nested.map(\.descriptor) }

    /// Gives everything back, in whichever process it is called.
    func release() {
        for grant in grants.reversed() { grant.release() }
        for nested in nested { nested.release() }
    }

    /// The first permit that no longer stands, and why.
    func loss() -> (grant: Grant, loss: Grant.Loss)? { grants.loss() }

    /// What the command finds in its environment: one line for each permit where there are several.
    func environment(held: Nesting) -> [(name: String, value: String)] {
        guard !grants.isEmpty else { return [] }
        var held = held
        for grant in grants { held.add(grant) }
        func lines(_ value: (Grant) -> String) -> String { grants.map(value).joined(by: "\n") }
        return [
            ("SEMQ_SEMAPHORE", lines(\.path)),
            ("SEMQ_TICKET", lines { String($0.ticket.number) }),
            ("SEMQ_SLOT", lines { String($0.slot) }),
            ("SEMQ_TOKEN", lines { String($0.token) }),
            (Nesting.variable, held.environment),
        ]
    }

    // MARK: across a fork

    /// As words, for a process that was forked before the grant and has the same descriptors.
    var handover: [String] {
        grants.map { "grant\n" + $0.handover } + nested.map { "nested\n\($0.descriptor)" }
    }

    init(grants: [Grant], nested: [Nesting.Nested] = []) {
        self.grants = grants
        self.nested = nested
    }

    init(handover: [String]) {
        grants = []
        for part in handover {
            let kind = part.prefix { $0 != "\n" }
            let rest = String(part.dropFirst(kind.count + 1))
            if kind == "grant", let grant = Grant(handover: rest) { grants.append(grant) }
            if kind == "nested", let descriptor = Int32(rest) { nested.append(Nesting.Nested(descriptor: descriptor)) }
        }
    }
}
