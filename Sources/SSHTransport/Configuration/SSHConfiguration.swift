/// What `ssh` would use for a destination.
public struct SSHConfiguration: Hashable, Sendable {
    package enum StrictHostKeyChecking: Hashable, Sendable {
        /// Unknown keys are refused.
        case yes
        /// `ssh` would ask. Nobody is asked here: unknown keys are refused, and the message says how to add them.
        case ask
        /// The key of a host of which nothing is known is added.
        case acceptNew
        /// `ssh` would go on even with a changed key. Here it is `acceptNew`: a changed or revoked key is
        /// refused, and whoever wants to go on all the same chooses `ssh` by hand.
        case no

        package var addsNewKeys: Bool { self == .acceptNew || self == .no }
    }

    package enum AddressFamily: Hashable, Sendable { case any, inet, inet6 }

    /// The host as the user typed it.
    package var host: String
    package var hostName: String
    package var user: String
    package var port = 22
    package var addressFamily = AddressFamily.any
    /// Nil leaves it to this program.
    package var connectTimeout: Duration?
    /// Nil: none are sent.
    package var serverAliveInterval: Duration?
    package var serverAliveCountMax = 3

    package var strictHostKeyChecking = StrictHostKeyChecking.ask
    /// New keys go to the first.
    package var userKnownHostsFiles: [String] = []
    package var globalKnownHostsFiles: [String] = []
    package var hostKeyAlias: String?
    package var hashKnownHosts = false
    /// In the order of preference; empty for OpenSSH's own choice.
    package var hostKeyAlgorithms: [String] = []

    /// In the order in which to try them. Default ones that aren't there are left out.
    package var identities: [SSHIdentity] = []
    /// Of an agent's keys only those that `identities` names may be tried.
    package var identitiesOnly = false
    /// The socket of an agent; nil for none.
    package var identityAgent: String?
    /// Nil for OpenSSH's own choice.
    package var preferredAuthentications: [String]?
    package var publicKeyAuthentication = true

    package var proxyJump: String?
    package var proxyCommand: String?
    package var certificateFiles: [String] = []
    package var revokedHostKeys: String?
    /// Other settings that decide where a connection ends, as `ssh -G` prints them.
    package var otherWays: [String] = []
    /// A host may be trusted by other evidence than a key in a known_hosts file, or by none.
    package var trustsOtherEvidence = false
    /// Other settings that only OpenSSH can follow, each as a clause such as “BindAddress is set”.
    package var onlyOpenSSH: [String] = []
    /// Whether there is an `ssh` to fall back on. If not, its configuration was not read.
    package var hasOpenSSH = true
    /// Sentences for the user.
    package var warnings: [String] = []

    package var knownHostsFiles: [String] { userKnownHostsFiles + globalKnownHostsFiles }

    /// The name to look for in known_hosts files, and the port; nil with an alias, which stands for both.
    package var knownHost: (host: String, port: Int?) {
        hostKeyAlias.map { ($0, nil) } ?? (hostName, port)
    }

    package var knownHostsName: String { KnownHosts.name(host: knownHost.host, port: knownHost.port) }

    init(host: String, hostName: String, user: String) {
        self.host = host
        self.hostName = hostName
        self.user = user
    }
}
