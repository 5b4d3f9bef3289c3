internal import Glibc

extension Nesting {
    /// What a host is told of permits: those that it keeps, and those of older `semq`s, which don't say who does. A host
    /// never learns the secret of another's.
    func fields(for host: HostIdentity) -> [(name: String, value: String)] {
        var told = Nesting(
            permits: permits.filter { permit in
                !permit.isVerifiable || permit.host.map { HostIdentity(word: $0).isSame(as: host) } ?? false
            })
        guard !told.permits.isEmpty else { return [] }
        // There it is a permit of its own.
        for index in told.permits.indices { told.permits[index].host = nil }
        let secrets = told.secrets
        return [("held", told.environment)] + (secrets.isEmpty ? [] : [("proof", secrets)])
    }
}

extension RemoteSemaphore {
    /// Whoever waits for the command around would wait for ever. Where its host isn't known to be this one, it was told
    /// nothing of the permit.
    /// - Throws: ``SemaphoreError`` where a holder is such a one.
    func checkNotAround(_ ticket: Ticket, token: Int64) throws(SemaphoreError) {
        guard let held = options.held.held(by: ticket, token: token), held.isVerifiable else { return }
        let own = host.identity
        throw SemaphoreError(
            .permission,
            "\(name): is held by a command around this one, which has named it \(Self.around(held, unlike: own))")
    }

    /// How it was named, and what is to be done now.
    private static func around(_ held: Nesting.Held, unlike own: HostIdentity) -> String {
        let sameAgain = "; name it as that did"
        guard let around = held.host.map(HostIdentity.init(word:)) else { return "as a file on this host" + sameAgain }
        let there = "on the host \(around.user.map { "\($0)@" } ?? "")\(around.name)"
        if let account = around.account, account != own.account {
            let user = account.split(separator: ".").first.map(String.init) ?? "?"
            let isUser = user != "\(getuid())"
            return
                "\(there), from \(isUser ? "another account here (uid \(user))" : "another container or machine"), for which "
                + "that may be another host; name it from there"
        }
        guard around.name == own.name else { return "on the host \(around.name)" + sameAgain }
        return there + (around.program == own.program ? "" : ", by way of \(around.program.joined(by: " "))")
            + sameAgain
    }

    /// The same of all holders, before somebody else waits in our place. Asks the host where there is a permit of which
    /// it isn't told.
    func checkNotAround() throws {
        let told = Nesting(environment: nesting.first { $0.name == "held" }?.value)
        guard told.permits.count < options.held.permits.count else { return }
        for holder in (try? status())?.holders ?? [] {
            if told.held(by: holder.ticket, token: holder.token) != nil { continue }
            try checkNotAround(holder.ticket, token: holder.token)
        }
    }
}
