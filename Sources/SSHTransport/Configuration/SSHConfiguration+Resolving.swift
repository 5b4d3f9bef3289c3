internal import Glibc

extension SSHConfiguration {
    /// Asks `ssh -G`, which reads the configuration files as no other program can. Takes about 5 ms, unless a
    /// `Match exec` takes longer.
    /// - Parameters:
    ///   - program: `ssh`, perhaps with options of its own.
    ///   - limit: how long a `Match exec` may take.
    /// - Throws: where `ssh` refuses its configuration.
    package static func resolve(
        _ destination: SSHDestination, program: [String] = ["ssh"], account: LocalAccount = .current,
        limit: Duration = .seconds(10)
    ) throws(SSHError) -> SSHConfiguration {
        var destination = destination
        if destination.host.hasPrefix("["), destination.host.hasSuffix("]") {
            destination.host = String(destination.host.dropFirst().dropLast())
        }
        try check(destination)
        let options =
            (destination.user.map { ["-l", $0] } ?? []) + (destination.port.map { ["-p", "\($0)"] } ?? [])
        // -T: no word about a terminal. -N: one that is to go to the background (ForkAfterAuthentication) wants a command,
        // or to be told that there is none.
        let words = program + ["-G", "-N", "-T"] + options + ["--", destination.host]
        let command = "`\(words.map(\.shellQuoted).joined(separator: " "))`"
        let output: ProgramOutput
        do throws(ProgramOutput.Failure) {
            output = try ProgramOutput.of(words, limit: limit)
        } catch {
            switch error {
            case .notFound: return defaults(destination, program: program[0], account: account)
            case .timedOut:
                throw destination.problem(
                    .timedOut,
                    "\(command) did not answer within \(limit): does a `Match exec` in ssh's configuration hang?")
            case .system(let number):
                throw destination.problem(.system, "\(command) can't be run: \(String(cString: strerror(number)))")
            }
        }
        let settings = OpenSSHSettings(output.out)
        guard output.status ?? 0 == 0, settings["hostname"] != nil else {
            let said = output.err.split(whereSeparator: \.isNewline).map { Printable.text(String($0)) }.joined(
                separator: "; ")
            throw destination.problem(.usage, "\(command) fails: \(said.isEmpty ? "it says nothing" : said)")
        }
        return SSHConfiguration(settings, host: destination.host, account: account)
    }

    /// What OpenSSH refuses in names, because its configuration may hand them to a shell.
    private static func check(_ destination: SSHDestination) throws(SSHError) {
        func isSound(_ name: String) -> Bool {
            !name.isEmpty && !name.hasPrefix("-")
                && !name.utf8.contains { $0 <= 0x20 || $0 == 0x7F || "'`\"$\\;&<>|(){}".utf8.contains($0) }
        }
        if !isSound(destination.host) {
            throw destination.problem(.usage, "‘\(Printable.text(destination.host))’ is no host's name")
        }
        if let user = destination.user, !isSound(user) {
            throw destination.problem(.usage, "\(destination.host): ‘\(Printable.text(user))’ is no user's name")
        }
        if let port = destination.port, !(1...65535).contains(port) {
            throw destination.problem(
                .usage, "\(destination.host): \(port) is no port; a number from 1 to 65535 is wanted")
        }
    }

    /// OpenSSH's defaults, for machines without it.
    static func defaults(_ destination: SSHDestination, program: String, account: LocalAccount) -> SSHConfiguration {
        var result = SSHConfiguration(
            host: destination.host, hostName: destination.host.lowercased(), user: destination.user ?? account.name)
        let folder = "\(account.home == "/" ? "" : account.home)/.ssh"
        result.port = destination.port ?? 22
        result.userKnownHostsFiles = ["\(folder)/known_hosts", "\(folder)/known_hosts2"]
        result.globalKnownHostsFiles = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]
        result.identities = ["id_ed25519", "id_ecdsa", "id_rsa"].map { SSHIdentity(path: "\(folder)/\($0)") }
            .filter { !$0.isAbsent }
        result.identityAgent = account.environment("SSH_AUTH_SOCK").flatMap { $0.isEmpty ? nil : $0 }
        result.hasOpenSSH = false
        if TextFile.exists("\(folder)/config") {
            result.warnings.append(
                "\(folder)/config is not read, because there is no \(program) in PATH; install OpenSSH's client")
        }
        return result
    }
}

extension SSHDestination {
    fileprivate func problem(_ kind: SSHError.Kind, _ message: String) -> SSHError {
        SSHError(kind, .configuration, host: host, port: port ?? 22, message)
    }
}
