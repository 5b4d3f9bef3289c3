/// Tells a person why a host's key is not accepted, and what to do about it.
package struct HostKeyRefusal: Sendable {
    let host: String
    let port: Int
    /// The host's name in known_hosts files.
    let name: String
    /// What the user would give to `ssh`, such as `-p 2222 ann@bench1`.
    let sshArguments: String
    let strictHostKeyChecking: SSHConfiguration.StrictHostKeyChecking
    /// The files that were searched.
    let files: [String]
    /// The file that new keys are added to; nil if there is none.
    let ownFile: String?
    /// Whether `ssh` could add one.
    let hasOpenSSH: Bool

    /// - Parameter destination: what the user typed.
    package init(_ configuration: SSHConfiguration, _ destination: SSHDestination) {
        host = configuration.hostName
        port = configuration.port
        name = configuration.knownHostsName
        let target = (destination.user.map { "\($0)@" } ?? "") + destination.host
        sshArguments = (destination.port.map { "-p \($0) " } ?? "") + target.shellQuoted
        strictHostKeyChecking = configuration.strictHostKeyChecking
        files = configuration.knownHostsFiles
        ownFile = configuration.userKnownHostsFiles.first
        hasOpenSSH = configuration.hasOpenSSH
    }

    /// - Returns: one sentence; nil for a known key.
    package func message(for verdict: HostKeyVerdict, on key: SSHPublicKey) -> String? {
        let shown = "\(host) port \(port): the host's \(key.kind) key \(key.fingerprint)"
        let line = "`\(name) \(key.line)`"
        switch verdict {
        case .known: return nil
        case .revoked(let entry):
            return "\(shown) is revoked in \(entry.place): somebody may have stolen it; don't connect, "
                + "and ask the host's admin for a new key"
        case .changed(let entries):
            let others = entries.map { "\($0.key.fingerprint) in \($0.place)" }.joined(separator: ", ")
            return
                "\(shown) is not the one known before (\(others)): somebody may be listening in, or the host was set "
                + "up anew; ask its admin, and if the new key is right, \(removal(of: entries)) and connect again"
        case .otherTypesKnown(let entries):
            let others = entries.map { "\($0.key.kind) \($0.key.fingerprint) in \($0.place)" }.joined(separator: ", ")
            return "\(shown) is unknown, while keys of another type are known (\(others)): ask the host's admin, "
                + "and if the new key is right, add \(line) to \(entries[0].file)"
        case .unknown:
            let searched =
                files.isEmpty ? "no known_hosts file is configured" : "it is not in \(files.joined(separator: ", "))"
            return "\(shown) is unknown (\(searched)): compare it with what the host's admin tells, then "
                + addition(of: line)
        }
    }

    private func addition(of line: String) -> String {
        guard let ownFile else { return "name a UserKnownHostsFile in ssh's configuration, and add \(line) to it" }
        return strictHostKeyChecking == .yes || !hasOpenSSH
            ? "add \(line) to \(ownFile)" : "run `ssh \(sshArguments)` once to add it"
    }

    /// `ssh-keygen -R` takes out each line that matches, so a line with a pattern is left to the user.
    private func removal(of entries: [KnownHostKey]) -> String {
        if entries.contains(where: \.isWild) {
            return "delete \(entries.count == 1 ? "that line" : "those lines")"
        }
        var files: [String] = []
        for entry in entries where !files.contains(entry.file) { files.append(entry.file) }
        return files.map { "run `ssh-keygen -R \(name.shellQuoted) -f \($0.shellQuoted)`" }.joined(separator: " and ")
    }
}
