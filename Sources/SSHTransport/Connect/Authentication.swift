internal import CLibSSH2
internal import Glibc

/// Proves to the server who we are: with the keys of an agent, and with those in files.
struct Authentication {
    let negotiation: Negotiation
    let user: String
    let identities: [SSHIdentity]
    let identitiesOnly: Bool
    /// The agent's socket; nil where none is to be asked.
    let agentPath: String?

    private var endpoint: Endpoint { negotiation.endpoint }
    private var options: SSHOptions { negotiation.options }

    private enum Result {
        case accepted
        case rejected
        /// It can't be used, by nobody; why.
        case unusable(String)
        /// libssh2 can't use it; why.
        case foreign(String)
    }

    /// A wrong passphrase may be a slip.
    private static let passphraseTries = 3

    func run() throws(SSHError) {
        var deadline = Deadline.after(options.limits.authentication)
        var troubles: [String] = []
        let agent = try openAgent(&troubles)
        let held = try agent.map { agent throws(SSHError) in try list(agent, &troubles) } ?? []
        let plan = KeyPlan(identities: identities, agent: held, identitiesOnly: identitiesOnly)
        var tried = 0
        var isForeign = false
        for offer in plan.offers {
            let result: Result
            switch offer {
            case .agent(let key, let comment):
                options.note("offering the agent's \(key.kind) key \(key.fingerprint) \(Printable.text(comment))")
                result = try offerAgent(agent!, key, until: deadline)
            case .file(let identity):
                options.note("offering the key \(identity.path)")
                result = try offerFile(identity, passphrase: nil, until: deadline)
            case .encrypted(let identity):
                options.note("offering the encrypted key \(identity.path)")
                result = try offerEncrypted(identity, &deadline)
            }
            switch result {
            case .accepted: return
            case .rejected: tried += 1
            case .unusable(let reason): troubles.append(reason)
            case .foreign(let reason):
                troubles.append(reason)
                isForeign = true
            }
            if negotiation.wire.overheard.wantsMore { break }
        }
        var methods = negotiation.wire.overheard.methods
        if plan.offers.isEmpty {
            guard let told = try askForMethods(until: deadline) else { return }
            methods = told
        }
        throw failure(plan, tried: tried, isForeign: isForeign, methods: methods, troubles)
    }

    /// Asks the server what it takes: it tells that beside a refusal, and who has no key was refused nothing yet.
    /// - Returns: nil where it lets in whoever asks.
    private func askForMethods(until deadline: Deadline) throws(SSHError) -> [String]? {
        let (session, user) = (negotiation.session, user)
        var methods: [String] = []
        let code = try negotiation.drive(until: deadline, phase: { .authentication }) {
            guard let list = libssh2_userauth_list(session, user, UInt32(user.utf8.count)) else {
                return libssh2_userauth_authenticated(session) != 0 ? 0 : libssh2_session_last_errno(session)
            }
            methods = String(cString: list).split(separator: ",").map(String.init)
            return 0
        }
        _ = try judge(code)
        return libssh2_userauth_authenticated(session) != 0 ? nil : methods
    }

    // MARK: agent

    private func openAgent(_ troubles: inout [String]) throws(SSHError) -> Agent? {
        guard let agentPath else { return nil }
        do {
            return try Agent(path: agentPath, cancellation: negotiation.cancellation)
        } catch {
            try trouble(error, "the agent at \(agentPath)", &troubles)
            return nil
        }
    }

    private func list(_ agent: Agent, _ troubles: inout [String]) throws(SSHError) -> [(SSHPublicKey, String)] {
        do {
            let keys = try agent.keys(until: .after(options.limits.agent))
            return keys.compactMap { entry in SSHPublicKey(blob: entry.blob).map { ($0, entry.comment) } }
        } catch {
            try trouble(error, "the agent at \(agentPath ?? "")", &troubles)
            return []
        }
    }

    private func trouble(_ failure: Agent.Failure, _ what: String, _ troubles: inout [String]) throws(SSHError) {
        switch failure {
        case .cancelled: throw cancelled
        case .absent(let error): troubles.append("\(what) can't be reached (\(String(cString: strerror(error))))")
        case .timedOut: troubles.append("\(what) does not answer within \(options.limits.agent)")
        case .broken: troubles.append("\(what) speaks another protocol or hung up")
        case .refused: troubles.append("\(what) refused to sign")
        }
    }

    private var cancelled: SSHError {
        endpoint.error(.cancelled, .authentication, "logging in to \(endpoint.description) was cancelled")
    }

    /// What the signing callback works with, and what became of it.
    private final class Signing {
        let agent: Agent
        let blob: [UInt8]
        let wire: Wire
        let limit: Duration
        var failure: Agent.Failure?

        init(agent: Agent, blob: [UInt8], wire: Wire, limit: Duration) {
            self.agent = agent
            self.blob = blob
            self.wire = wire
            self.limit = limit
        }
    }

    private func offerAgent(_ agent: Agent, _ key: SSHPublicKey, until deadline: Deadline) throws(SSHError) -> Result {
        let signing = Signing(agent: agent, blob: key.blob, wire: negotiation.wire, limit: options.limits.agent)
        let code = try offer(key, until: deadline, signing) { _, signature, length, data, count, abstract in
            let signing = Unmanaged<Signing>.fromOpaque(abstract!.pointee!).takeUnretainedValue()
            do throws(Agent.Failure) {
                let bytes = try signing.agent.sign(
                    UnsafeRawBufferPointer(start: data, count: count), with: signing.blob, until: .after(signing.limit))
                guard let memory = signing.wire.memory.allocate(bytes.count) else { return -1 }
                bytes.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
                signature!.pointee = memory.assumingMemoryBound(to: UInt8.self)
                length!.pointee = bytes.count
                return 0
            } catch {
                signing.failure = error
                return -1
            }
        }
        if let failure = signing.failure {
            var troubles: [String] = []
            try trouble(failure, "the agent at \(agentPath ?? "")", &troubles)
            return .unusable(troubles[0])
        }
        return try judge(code)
    }

    private typealias Sign =
        @convention(c) (
            OpaquePointer?, UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?, UnsafeMutablePointer<Int>?,
            UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> Int32

    private func offer(
        _ key: SSHPublicKey, until deadline: Deadline, _ context: AnyObject, _ sign: Sign
    ) throws(SSHError) -> Int32 {
        let session = negotiation.session
        let abstract = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: 1)
        defer { abstract.deallocate() }
        abstract.initialize(to: Unmanaged.passUnretained(context).toOpaque())
        let user = user
        return try withExtended(context) { () throws(SSHError) in
            try negotiation.drive(until: deadline, phase: { .authentication }) {
                libssh2_userauth_publickey(session, user, key.blob, key.blob.count, sign, abstract)
            }
        }
    }

    private func withExtended<R>(_ object: AnyObject, _ body: () throws(SSHError) -> R) throws(SSHError) -> R {
        defer { withExtendedLifetime(object) {} }
        return try body()
    }

    // MARK: files

    /// Asks the server first whether the key is of use, and only then somebody for the passphrase.
    private func offerEncrypted(_ identity: SSHIdentity, _ deadline: inout Deadline) throws(SSHError) -> Result {
        if let key = identity.publicKey {
            // The signature is refused here: all that counts is whether it was asked for.
            final class Asked { var isAsked = false }
            let asked = Asked()
            let code = try offer(key, until: deadline, asked) { _, _, _, _, _, abstract in
                Unmanaged<Asked>.fromOpaque(abstract!.pointee!).takeUnretainedValue().isAsked = true
                return -1
            }
            guard asked.isAsked else { return try judge(code) }
        }
        for attempt in 1...Authentication.passphraseTries {
            let left = deadline.remaining
            // As ssh does where it doesn't know what is asked for.
            let prompt = "(\(user)@\(endpoint.alias)) \(attempt == 1 ? "" : "That was not it. ")"
            guard
                let passphrase = options.askPassphrase(
                    "\(prompt)Passphrase for the key \(identity.path): ", negotiation.cancellation)
            else {
                if negotiation.cancellation.isCancelled { throw cancelled }
                return .unusable("the passphrase of \(identity.path) was not given; ssh-add asks for it once for all")
            }
            // Typing takes its time.
            deadline = .after(left)
            let result = try offerFile(identity, passphrase: passphrase, until: deadline)
            guard case .foreign = result else { return result }
        }
        return .unusable("the passphrase of \(identity.path) was wrong")
    }

    private func offerFile(
        _ identity: SSHIdentity, passphrase: SSHSecret?, until deadline: Deadline
    ) throws(SSHError) -> Result {
        guard let contents = KeyFile.read(identity.path) else {
            return .unusable("the key \(identity.path) can't be read (\(String(cString: strerror(errno))))")
        }
        let (session, user) = (negotiation.session, user)
        let refusals = negotiation.wire.overheard.refusals
        let code = try negotiation.drive(until: deadline, phase: { .authentication }) {
            contents.withBytes { key in
                func call(_ phrase: UnsafePointer<CChar>?) -> Int32 {
                    libssh2_userauth_publickey_frommemory(
                        session, user, user.utf8.count, nil, 0, key, contents.count, phrase)
                }
                return passphrase?.withBytes { call($0) } ?? call(nil)
            }
        }
        let result = try judge(code)
        if case .rejected = result, negotiation.wire.overheard.refusals == refusals {
            return .foreign("libssh2 can't use the key \(identity.path)")
        }
        return result
    }

    // MARK: outcomes

    private func judge(_ code: Int32) throws(SSHError) -> Result {
        if code == 0 { return .accepted }
        let wire = negotiation.wire
        let said = "\(endpoint.description) broke off while \(user) logged in: \(negotiation.lastWords)"
        if wire.goodbye != nil || wire.memory.isExhausted {
            throw endpoint.error(
                .authentication, .authentication,
                "\(said); if an agent has many keys, name one with IdentityFile and IdentitiesOnly")
        }
        // A connection that broke says nothing about the keys.
        if wire.fate != nil { throw endpoint.error(.unreachable, .authentication, said + wire.advice) }
        return .rejected
    }

    private func failure(
        _ plan: KeyPlan, tried: Int, isForeign: Bool, methods: [String], _ troubles: [String]
    ) -> SSHError {
        let others = methods.filter {
            ["password", "keyboard-interactive", "gssapi-with-mic", "hostbased"].contains($0)
        }
        if negotiation.wire.overheard.wantsMore {
            return endpoint.error(
                .unsupported, .authentication,
                "\(endpoint.description) wants more than a key (\(list(methods))), which only ssh can do")
        }
        if !plan.leftOut.isEmpty {
            return endpoint.error(
                .unsupported, .authentication,
                "\(endpoint.description) took none of the keys that libssh2 can use; left is \(list(plan.leftOut)), "
                    + "which only ssh can use")
        }
        if !others.isEmpty || isForeign {
            let (reason, also) =
                tried == 0
                ? ("there is no key for \(endpoint.description)", ", but it also takes ")
                : ("\(endpoint.description) took no key", " and also takes ")
            var error = endpoint.error(
                .unsupported, .authentication,
                reason + (others.isEmpty ? "" : "\(also)\(list(others)), which only ssh can do")
                    + (troubles.isEmpty ? "" : " (\(list(troubles)))"))
            error.keysAreUsedUp = !isForeign
            return error
        }
        if tried == 0 {
            return endpoint.error(
                .authentication, .authentication,
                troubles.isEmpty
                    ? "there is no key for \(endpoint.description): ssh-keygen makes one, ssh-copy-id lets it in"
                    : "there is no key for \(endpoint.description) that can be used: \(list(troubles))")
        }
        return endpoint.error(
            .authentication, .authentication,
            "\(endpoint.description) does not let \(user) log in with \(tried == 1 ? "the key" : "any of the \(tried) keys") "
                + "offered: is it the right user, and does the key stand in ~/.ssh/authorized_keys there?"
                + (troubles.isEmpty ? "" : " (\(list(troubles)))"))
    }

    private func list(_ words: [String]) -> String {
        var result = ""
        for (index, word) in words.enumerated() { result += index == 0 ? word : ", \(word)" }
        return result
    }
}
