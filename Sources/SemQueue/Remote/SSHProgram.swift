internal import SSHTransport

/// OpenSSH's client as its configuration has it for one host: what of that has to be switched off for a command's
/// streams, and which connections the user has open that `ssh` would share
/// (ControlMaster, ControlPath).
struct SSHProgram {
    private let words: [String]
    private let target: Address.Host
    /// Nil where it doesn't tell.
    private let settings: OpenSSHSettings?

    /// Asks `ssh -G`, which takes about 5 ms, unless a `Match exec` takes longer.
    /// - Parameter words: the program, with options of its own if need be.
    init(_ words: [String], to target: Address.Host) {
        self.words = words
        self.target = target
        // -N: one that is to go to the background wants a command, or to be told that there is none.
        let asked = words + ["-G", "-N", "-T"] + RemoteShell.words(for: target)
        let output = try? ProgramOutput.of(asked, limit: .seconds(10))
        settings = output.flatMap { $0.status == 0 ? OpenSSHSettings($0.out) : nil }
    }

    /// For tests.
    init(_ words: [String], to target: Address.Host, settings: String) {
        (self.words, self.target, self.settings) = (words, target, OpenSSHSettings(settings))
    }

    /// Whether words are those of OpenSSH's client. Other programs are called like it, and asked nothing else.
    static func isNamed(by words: [String]) -> Bool { words[0] == "ssh" || words[0].hasSuffix("/ssh") }

    // MARK: words

    /// Which connections of the user's are used, where they are open.
    enum Sharing: Comparable {
        case none
        /// To the last hop of a `ProxyJump`.
        case hop
        /// To the host itself.
        case host
    }

    /// All words but the command.
    /// - Parameter isBatch: nobody is there to answer questions.
    func words(isBatch: Bool, _ sharing: Sharing) -> [String] {
        RemoteShell.sshWords(
            words + plainSession + jump(sharing), to: target, isBatch: isBatch, shares: sharing == .host)
    }

    private var hop: SSHHop? { settings?.optional("proxyjump").flatMap { SSHHop($0, of: words) } }
    private var mayShare: Bool { settings?.optional("controlpath") != nil }

    private func jump(_ sharing: Sharing) -> [String] {
        // The path of a shared connection may be made of the hop's name too (%C).
        guard let hop, sharing != .host || !mayShare else { return [] }
        return ["-o", "ProxyCommand=\(hop.command(shares: sharing != .none))"]
    }

    /// Only for those that know them, since OpenSSH 8.7: others end with an error.
    private var plainSession: [String] {
        [("StdinNull", "no"), ("ForkAfterAuthentication", "no"), ("SessionType", "default")].flatMap { name, value in
            settings?[name.lowercased()] == nil ? [] : ["-o", "\(name)=\(value)"]
        }
    }

    // MARK: the user's own connections

    enum Trial: Equatable {
        /// There is none.
        case none
        /// A command has just come and gone over it.
        case answers(Sharing)
        /// Whatever keeps it is there, and nothing comes back: the network has forgotten it, or it is stopped.
        case silent(Address.Host)

        /// What is to be used then.
        var sharing: Sharing { if case .answers(let sharing) = self { sharing } else { .none } }
    }

    /// How long an answer may take over a connection that is open: a round trip, and the start of a log-in shell.
    static let patience = Duration.seconds(5)

    /// Tries them. Where there is none that takes no time without a ControlPath, else about 5 ms.
    func trial() -> Trial {
        switch tried() {
        case .silent(let host): return .silent(host)
        case .answers: return .answers(.host)
        case .none: break
        }
        guard let hop else { return .none }
        switch SSHProgram(hop.words, to: hop.target).trial() {
        case .silent(let host): return .silent(host)
        case .answers: return .answers(.hop)
        case .none: return .none
        }
    }

    private func tried() -> Trial {
        guard mayShare else { return .none }
        let check = words + ["-O", "check"] + RemoteShell.words(for: target)
        do throws(ProgramOutput.Failure) {
            guard try ProgramOutput.of(check, limit: .seconds(2)).status == 0 else { return .none }
            let trial = words(isBatch: true, .host) + ["true"]
            let status = try ProgramOutput.of(trial, limit: Self.patience).status
            // Where a key is for one command only, that has answered.
            return status.map { $0 != ExitOfLink.failed } == true ? .answers(.host) : .silent(target)
        } catch {
            return error == .timedOut ? .silent(target) : .none
        }
    }
}
