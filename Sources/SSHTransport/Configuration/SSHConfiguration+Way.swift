extension SSHConfiguration {
    /// All that decides where a connection ends. Two destinations with the same are one host; two hosts behind two
    /// gateways may have one address.
    package struct Way: Hashable {
        fileprivate var hostName: String
        fileprivate var port: Int
        fileprivate var proxyJump: String?
        fileprivate var proxyCommand: String?
        /// What its words stand for, where there are such as %n.
        fileprivate var words: [String]
        fileprivate var others: [String]
        fileprivate var keys: KeysPlace
    }

    /// Where a host's keys are looked for.
    package struct KeysPlace: Hashable {
        fileprivate var name: String
        fileprivate var files: [String]
    }

    package var way: Way {
        let proxy = [proxyJump, proxyCommand].compactMap(\.self).joined(separator: " ")
        return Way(
            hostName: hostName, port: port, proxyJump: proxyJump, proxyCommand: proxyCommand,
            words: Self.hasOtherTokens(proxy) ? [host, user] : [], others: otherWays, keys: keysPlace)
    }

    package var keysPlace: KeysPlace { KeysPlace(name: knownHostsName, files: knownHostsFiles) }

    /// A host that has none of these keys isn't connected to. `accept-new` takes a key of another type than those that
    /// are known.
    package var keysDecide: Bool { !trustsOtherEvidence && !strictHostKeyChecking.addsNewKeys }

    /// Than those for the host name and the port.
    private static func hasOtherTokens(_ text: String) -> Bool {
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%"), let token = rest.popFirst() else { continue }
            if !"hp%".utf8.contains(token) { return true }
        }
        return false
    }
}
