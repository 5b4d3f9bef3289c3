/// A key in a known_hosts file, and where it stands.
package struct KnownHostKey: Hashable, Sendable {
    package let key: SSHPublicKey
    package let file: String
    /// From 1.
    package let line: Int
    let marker: KnownHostsLine.Marker?
    /// The line stands for other hosts, too.
    let isWild: Bool

    package var place: String { "\(file):\(line)" }
}
