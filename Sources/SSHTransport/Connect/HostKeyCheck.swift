/// Whether the host is the one that it says it is: asks its known keys first, so that it proves to have one of
/// those, and judges the key that it shows.
struct HostKeyCheck {
    let endpoint: Endpoint
    let destination: SSHDestination
    let configuration: SSHConfiguration
    let known: KnownHostKeys

    init(
        _ destination: SSHDestination, _ configuration: SSHConfiguration, _ endpoint: Endpoint
    ) throws(SSHError) {
        self.endpoint = endpoint
        self.destination = destination
        self.configuration = configuration
        do {
            let name = configuration.knownHost
            known = try KnownHosts(files: configuration.knownHostsFiles).keys(host: name.host, port: name.port)
        } catch {
            throw endpoint.error(.hostKey, .hostKey, error.message)
        }
        if let reason = known.needsOpenSSH() { throw endpoint.error(.unsupported, .hostKey, reason) }
    }

    /// - Returns: which key it is, and where it is known from.
    func verify(_ blob: [UInt8], note: (String) -> Void) throws(SSHError) -> String {
        guard let key = SSHPublicKey(blob: blob) else {
            throw endpoint.error(.hostKey, .hostKey, "\(endpoint.description) showed a host key that is none")
        }
        let verdict = known.verdict(on: key)
        if verdict == .unknown, configuration.strictHostKeyChecking.addsNewKeys {
            try acceptNew(key, note)
            return "\(key.kind) \(key.fingerprint), unknown till now"
        }
        if let message = refusal.message(for: verdict, on: key) { throw endpoint.error(.hostKey, .hostKey, message) }
        guard case .known(let found) = verdict else { return "\(key.kind) \(key.fingerprint)" }
        return "\(key.kind) \(key.fingerprint), as in \(found.place)"
    }

    private var refusal: HostKeyRefusal { HostKeyRefusal(configuration, destination) }

    private func acceptNew(_ key: SSHPublicKey, _ note: (String) -> Void) throws(SSHError) {
        guard let path = configuration.userKnownHostsFiles.first else { return }
        let (host, port) = configuration.knownHost
        let addition: KnownHostsFile.Addition
        do {
            addition = try KnownHostsFile(path).add(key, host: host, port: port, isHashed: configuration.hashKnownHosts)
        } catch {
            // Nothing was known, so that nothing is lost: the next connection is a first one again.
            return note(error.message)
        }
        switch addition {
        case .added:
            note("\(endpoint.description) is new: its \(key.kind) key \(key.fingerprint) was added to \(path)")
        case .alreadyThere: break
        case .refused(let verdict):
            if let message = refusal.message(for: verdict, on: key) {
                throw endpoint.error(.hostKey, .hostKey, message)
            }
        }
    }
}
