extension SSHConfiguration {
    /// - Parameter host: as the user typed it.
    init(_ settings: OpenSSHSettings, host: String, account: LocalAccount) {
        self.init(host: host, hostName: settings["hostname"] ?? host, user: settings["user"] ?? account.name)
        port = settings["port"].flatMap(Int.init) ?? 22
        switch settings["addressfamily"] {
        case "inet": addressFamily = .inet
        case "inet6": addressFamily = .inet6
        default: addressFamily = .any
        }
        connectTimeout = Self.seconds(settings["connecttimeout"])
        serverAliveInterval = Self.seconds(settings["serveraliveinterval"])
        serverAliveCountMax = settings["serveralivecountmax"].flatMap(Int.init) ?? 3
        hostKeyAlias = settings["hostkeyalias"]
        proxyJump = settings.optional("proxyjump")
        proxyCommand = settings.optional("proxycommand")

        let expansion = TokenExpansion(
            account: account,
            tokens: [
                "d": account.home, "h": hostName, "i": "\(account.uid)", "k": hostKeyAlias ?? host,
                "L": String(account.hostName.prefix { $0 != "." }), "l": account.hostName, "n": host,
                "p": "\(port)", "r": user, "u": account.name,
            ])
        readHostKeys(settings, expansion)
        readAuthentication(settings, expansion)
        readOtherReasons(settings)
        otherWays = ["bindaddress", "bindinterface", "proxyusefdpass", "addressfamily"].map {
            "\($0) \(settings[$0] ?? "")"
        }
        trustsOtherEvidence =
            settings.isOn("verifyhostkeydns") || settings.isOn("nohostauthenticationforlocalhost")
            || settings.optional("knownhostscommand") != nil
    }

    private static func seconds(_ value: String?) -> Duration? {
        value.flatMap(Int.init).flatMap { $0 > 0 ? .seconds($0) : nil }
    }

    private mutating func readHostKeys(_ settings: OpenSSHSettings, _ expansion: TokenExpansion) {
        switch settings["stricthostkeychecking"] {
        case "yes", "true": strictHostKeyChecking = .yes
        case "accept-new": strictHostKeyChecking = .acceptNew
        case "no", "off", "false": strictHostKeyChecking = .no
        default: strictHostKeyChecking = .ask
        }
        func files(_ keyword: String) -> [String] {
            settings.words(keyword, separator: " ").filter { $0 != "none" }.map { expansion.expandHome($0) ?? $0 }
        }
        // Older versions leave a ~ here. Tokens are expanded already, and twice would be wrong.
        userKnownHostsFiles = files("userknownhostsfile")
        globalKnownHostsFiles = files("globalknownhostsfile")
        hashKnownHosts = settings.isOn("hashknownhosts")
        hostKeyAlgorithms = settings.words("hostkeyalgorithms", separator: ",")
        revokedHostKeys = settings.optional("revokedhostkeys")
    }

    private mutating func readAuthentication(_ settings: OpenSSHSettings, _ expansion: TokenExpansion) {
        for value in settings.all("identityfile") {
            for path in expanded([value], expansion) {
                let identity = SSHIdentity(path: path)
                if !Self.defaultIdentityFiles.contains(value) || !identity.isAbsent { identities.append(identity) }
            }
        }
        identitiesOnly = settings.isOn("identitiesonly")
        identityAgent = Self.agent(settings["identityagent"], expansion)
        certificateFiles = expanded(settings.all("certificatefile"), expansion)
        preferredAuthentications = settings["preferredauthentications"].map {
            $0.split(separator: ",").map(String.init)
        }
        // It is also `unbound` or `host-bound`.
        publicKeyAuthentication = !settings.isOff("pubkeyauthentication")
    }

    /// What `ssh -G` lists where no IdentityFile is configured, whether it's there or not.
    private static let defaultIdentityFiles: Set = [
        "~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ecdsa_sk", "~/.ssh/id_ed25519", "~/.ssh/id_ed25519_sk",
        "~/.ssh/id_xmss", "~/.ssh/id_dsa",
    ]

    /// - Parameter value: `SSH_AUTH_SOCK`, `$NAME`, `none`, or a path, in which tokens are expanded already.
    private static func agent(_ value: String?, _ expansion: TokenExpansion) -> String? {
        let value = value ?? "SSH_AUTH_SOCK"
        let isVariable = value.hasPrefix("$") && !value.hasPrefix("${")
        let path: String? =
            switch value {
            case "none": nil
            case "SSH_AUTH_SOCK": expansion.account.environment(value)
            case _ where isVariable: expansion.account.environment(String(value.dropFirst()))
            default: expansion.expandHome(value)
            }
        return path.flatMap { $0.isEmpty ? nil : $0 }
    }

    private mutating func expanded(_ values: [String], _ expansion: TokenExpansion) -> [String] {
        var paths: [String] = []
        for value in values where value != "none" {
            if let path = expansion.expand(value) {
                paths.append(path)
            } else {
                onlyOpenSSH.append("only OpenSSH can tell what file ‘\(Printable.text(value))’ is")
            }
        }
        return paths
    }

    private mutating func readOtherReasons(_ settings: OpenSSHSettings) {
        let names = [
            "bindaddress": "BindAddress", "bindinterface": "BindInterface", "knownhostscommand": "KnownHostsCommand",
            "pkcs11provider": "PKCS11Provider",
        ]
        for (keyword, name) in names.sorted(by: { $0.key < $1.key }) where settings.optional(keyword) != nil {
            onlyOpenSSH.append("\(name) is set")
        }
        if settings.isOn("verifyhostkeydns") { onlyOpenSSH.append("VerifyHostKeyDNS is set") }
        if settings.isOn("nohostauthenticationforlocalhost") {
            onlyOpenSSH.append("NoHostAuthenticationForLocalhost is set")
        }
    }
}
