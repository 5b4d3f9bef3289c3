/// Whether a host is the one it says it is, as the known_hosts files go.
package enum HostKeyVerdict: Hashable, Sendable {
    /// The key stands there.
    case known(KnownHostKey)
    /// The key is never to be accepted.
    case revoked(KnownHostKey)
    /// Other keys of this type stand there, at least one.
    case changed([KnownHostKey])
    /// Only keys of other types stand there, at least one.
    case otherTypesKnown([KnownHostKey])
    /// Nothing is known of the host. The only verdict on which `accept-new` may add the key.
    case unknown
}
