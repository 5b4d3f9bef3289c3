internal import SSHTransport

/// The last hop of a `ProxyJump`, as a `ProxyCommand`. `ssh` would start the same, but by the hop's own settings alone: with
/// `ControlMaster auto` it becomes a connection that the user's sessions on the hop hang on, and ends with ours.
struct SSHHop {
    let target: Address.Host
    /// The hops before it, the first one first.
    private let before: [String]
    private let program: String
    /// The configuration, where another is chosen: the only one of `ssh`'s words that it hands on.
    let configuration: [String]

    /// - Parameters:
    ///   - hops: as a `ProxyJump` has them, with commas between.
    ///   - ssh: the words of the `ssh` that is to go over them.
    /// - Returns: nil where a name isn't understood.
    init?(_ hops: String, of ssh: [String]) {
        var hops = hops.split(separator: ",").map(String.init)
        guard let last = hops.popLast() else { return nil }
        let name = last.hasPrefix("ssh://") ? String(last.dropFirst("ssh://".count)) : last
        guard case .remote(let target, _)? = try? Address("ssh://\(name)/-") else { return nil }
        (self.target, before, program) = (target, hops, ssh[0])
        configuration = Self.configuration(of: ssh)
    }

    /// What `ssh` is to be called with.
    var words: [String] { [program] + configuration }

    /// - Parameter shares: a connection that the user has open to the hop is used.
    func command(shares: Bool) -> String {
        var words = words + ["-o", "ControlMaster=no"] + (shares ? [] : ["-o", "ControlPath=none"])
        if let earlier = SSHHop(before.joined(by: ","), of: self.words) {
            words += ["-o", "ProxyCommand=\(earlier.command(shares: shares))"]
        }
        // What stands in the command is expanded once more on each further hop.
        let quoted = words.map { $0.replacing("%", with: "%%").shellQuoted }
        let end = RemoteShell.words(for: target).map(\.shellQuoted)
        return (quoted + ["-W", "'[%h]:%p'"] + end).joined(by: " ")
    }

    private static func configuration(of ssh: [String]) -> [String] {
        guard let flag = ssh.firstIndex(where: { $0.hasPrefix("-F") }) else { return [] }
        return ssh[flag] == "-F" ? Array(ssh[flag...].prefix(2)) : [ssh[flag]]
    }
}
