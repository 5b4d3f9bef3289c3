/// What a trial log-in by `ssh -v` shows of the way to a host: route, host key, log-in. Judges what was printed;
/// its sentences are OpenSSH's own, which has not changed them for many years.
struct SSHTrial {
    /// As `ssh` resolves it.
    var host: String
    var port: Int
    /// Each line that ssh printed on standard error, without “debug1: ”.
    private let lines: [Substring]
    /// Of these, what it would have said without `-v`.
    private let spoken: [Substring]

    /// - Parameter err: what `ssh -v` has printed on standard error.
    init(_ err: String, host: String, port: Int) {
        self.host = host
        self.port = port
        let all = err.split(whereSeparator: \.isNewline)
        lines = all.map { $0.hasPrefix(Self.mark) ? $0.dropFirst(Self.mark.count) : $0 }
        spoken = all.filter { !$0.hasPrefix(Self.mark) && !$0.hasPrefix("OpenSSH_") }
    }

    private static let mark = "debug1: "

    /// In order, up to the first that makes the rest impossible.
    /// - Parameter canAsk: there is somebody at a terminal, whom `ssh` may ask for a password.
    func findings(canAsk: Bool) -> [Diagnosis.Finding] {
        var findings: [Diagnosis.Finding] = []
        for finding in [route, hostKey, logIn(canAsk: canAsk)].compactMap(\.self) {
            findings.append(finding)
            if finding.verdict == .bad { break }
        }
        return findings
    }

    // MARK: route

    private var route: Diagnosis.Finding? {
        func bad(_ text: String) -> Diagnosis.Finding {
            .init(subject: "route", verdict: .bad, text: text, code: .unreachable)
        }
        if let address = connected {
            guard heardOf else {
                return bad(
                    "\(address): a connection, but no answer of an SSH server (\(complaint)): is this its port, are "
                        + "there too many connections at once (MaxStartups), is this side's address refused?")
            }
            return .init(subject: "route", verdict: .good, text: "\(address) answers")
        }
        if line("Executing proxy command") != nil || line("jumphost") != nil
            || line("Setting implicit ProxyCommand") != nil
        {
            guard !heardOf else {
                return .init(subject: "route", verdict: .good, text: "\(host) answers through the proxy")
            }
            return bad("no connection through the proxy: \(complaint)")
        }
        if let line = line("Could not resolve hostname") {
            return bad("\(line.tail(behind: "ssh: ")): is it spelled right, is it in DNS, /etc/hosts or ~/.ssh/config?")
        }
        let attempts = lines.filter { $0.hasPrefix("connect to address ") }.map {
            String($0.tail(behind: "connect to "))
        }
        if attempts.contains(where: { $0.hasSuffix("Connection refused") }) {
            return bad(
                "\(attempts.joined(by: "; ")): the host is there, and no SSH server at that port; start it, or name "
                    + "its port: ssh://\(host):PORT/path")
        }
        guard authenticated == nil else { return nil }
        let said = attempts.isEmpty ? complaint : attempts.joined(by: "; ")
        return bad("\(said): is the host up, and does a firewall let port \(port) through?")
    }

    /// The address that answered.
    private var connected: String? {
        guard line("Connection established") != nil,
            let connecting = lines.last(where: { $0.hasPrefix("Connecting to ") })
        else { return nil }
        // Connecting to bench1 [10.1.2.3] port 22.
        let words = connecting.split(separator: " ")
        guard let address = words.first(where: { $0.hasPrefix("[") }) else { return nil }
        return "\(address.dropFirst().dropLast()) port \(port)"
    }

    private var heardOf: Bool { line("Remote protocol version") != nil }

    // MARK: host key

    private var hostKey: Diagnosis.Finding? {
        func bad(_ text: String) -> Diagnosis.Finding {
            .init(subject: "host key", verdict: .bad, text: text, code: .permission)
        }
        let key = lines.last { $0.hasPrefix("Server host key: ") }?.tail(behind: "Server host key: ")
        if line("REVOKED HOST KEY") != nil || line("is marked as revoked") != nil {
            return bad("\(key ?? "the host's key") is revoked: this host must not be used before its keys are new")
        }
        if line("IDENTIFICATION HAS CHANGED") != nil {
            let place = lines.last { $0.hasPrefix("Offending ") }?.tail(behind: " key in ")
            let removal = lines.last { $0.contains("ssh-keygen -f") }?.trimmed
            return bad(
                "has changed to \(key ?? "another"), where \(place ?? "known_hosts") has another: ask whoever runs "
                    + "the host why"
                    + (removal.map { ", and only then: \($0)" } ?? ""))
        }
        if line("is known and matches the") != nil {
            let place = lines.last { $0.hasPrefix("Found key in ") || $0.hasPrefix("Found CA key in ") }
                .map { ", as in \($0.tail(behind: " in "))" }
            return .init(subject: "host key", verdict: .good, text: "\(key ?? "known")\(place ?? "")")
        }
        if line("Host key verification failed") != nil {
            return bad(
                "\(key ?? "the host's key") is not known: log in once by ssh, and say yes if it is the key that "
                    + "whoever runs the host tells (there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)")
        }
        if line("Permanently added") != nil {
            return .init(subject: "host key", verdict: .note, text: "\(key ?? "new"): unknown till now, and added")
        }
        guard authenticated == nil, !refused else { return nil }
        return .init(
            subject: "host key", verdict: .bad, text: "no agreement with the SSH server: \(complaint)",
            code: .unreachable)
    }

    // MARK: log-in

    private func logIn(canAsk: Bool) -> Diagnosis.Finding? {
        if let authenticated {
            let key = lines.last { $0.hasPrefix("Server accepts key: ") }?.tail(behind: "Server accepts key: ")
                .split(separator: " ").first
            return .init(
                subject: "log-in", verdict: .good, text: "by \(authenticated)\(key.map { " (\($0))" } ?? "")")
        }
        guard refused else {
            return .init(
                subject: "log-in", verdict: .bad, text: "broken off: \(complaint)", code: .unreachable)
        }
        let tried = lines.filter { $0.hasPrefix("Offering public key: ") }
            .compactMap { $0.tail(behind: "Offering public key: ").split(separator: " ").first }
        let keys = tried.isEmpty ? "no key to try" : "tried \(tried.map(String.init).joined(by: ", "))"
        if line("Too many authentication failures") != nil {
            return .init(
                subject: "log-in", verdict: .bad,
                text: "refused after \(tried.count) keys: say in ~/.ssh/config which one is for this host "
                    + "(IdentityFile, IdentitiesOnly yes)", code: .permission)
        }
        let asks = ["password", "keyboard-interactive"].first { method in
            lines.contains { $0.contains("can continue: ") && $0.contains(method) }
        }
        if asks != nil, canAsk {
            return .init(
                subject: "log-in", verdict: .note,
                text: "\(keys), and none is accepted: ssh asks for a password, which it can't do when a connection was "
                    + "cut; a key is better: ssh-copy-id")
        }
        return .init(
            subject: "log-in", verdict: .bad,
            text: "\(complaint) (\(keys)): add the public key to ~/.ssh/authorized_keys there (ssh-copy-id), or load "
                + "it into the agent (ssh-add)", code: .permission)
    }

    private var authenticated: Substring? {
        // Authenticated to bench1 ([10.1.2.3]:22) using "publickey".
        lines.last { $0.hasPrefix("Authenticated to ") }?.split(separator: "\"").dropFirst().first
    }

    private var refused: Bool { line("Permission denied") != nil || line("Too many authentication failures") != nil }

    // MARK: -

    private func line(_ part: String) -> Substring? { lines.last { $0.contains(part) } }

    /// What `ssh` says last.
    private var complaint: String {
        let last = spoken.isEmpty ? lines.suffix(1) : spoken.suffix(2)
        return last.isEmpty ? "ssh says nothing" : last.map(String.init).joined(by: "; ")
    }
}

extension Substring {
    fileprivate func tail(behind part: String) -> Substring {
        guard let range = firstRange(of: part) else { return self }
        return self[range.upperBound...]
    }

    fileprivate var trimmed: Substring {
        var text = self
        while text.first?.isWhitespace == true { text.removeFirst() }
        return text
    }
}
