internal import CLibSSH2
internal import Glibc

/// A session on its way: the socket is connected, libssh2 talks. Each step is driven to its end here, within its
/// time, and can be cancelled.
final class Negotiation {
    let endpoint: Endpoint
    let wire: Wire
    let session: OpaquePointer
    let options: SSHOptions
    let cancellation: SSHCancellation

    /// Takes the socket over.
    init(
        endpoint: Endpoint, socket: Int32, options: SSHOptions, cancellation: SSHCancellation
    ) throws(SSHError) {
        self.endpoint = endpoint
        self.options = options
        self.cancellation = cancellation
        wire = Wire(socket: socket)
        guard Library.isReady, let session = wire.makeSession() else {
            throw endpoint.error(
                .unsupported, .connect, "libssh2 can't be set up in this process for \(endpoint.description)")
        }
        self.session = session
    }

    /// Gives everything back where it came to nothing.
    func abandon() {
        wire.abandon()
        while libssh2_session_free(session) == LIBSSH2_ERROR_EAGAIN {}
    }

    /// Calls until it isn't told EAGAIN.
    /// - Parameter phase: asked each time, since one call may go through several.
    func drive(
        until deadline: Deadline, phase: () -> SSHError.Phase, _ call: () -> Int32
    ) throws(SSHError) -> Int32 {
        var readable = true
        while true {
            wire.beginSweep(readable: readable)
            let result = call()
            wire.flush()
            if result != LIBSSH2_ERROR_EAGAIN { return result }
            if wire.fate != nil {
                wire.expose()
                continue
            }
            readable = try wait(until: deadline, phase: phase(), isBusy: wire.hasMore)
        }
    }

    /// Until the socket can be used again. The time is up also for a server that never stops talking.
    /// - Parameter isBusy: there is more to do already.
    /// - Returns: whether there is something to read.
    private func wait(until deadline: Deadline, phase: SSHError.Phase, isBusy: Bool) throws(SSHError) -> Bool {
        let wanted = Int16(POLLIN) | (wire.hasOutgoing ? Int16(POLLOUT) : 0)
        var entries = [
            pollfd(fd: wire.socket, events: wanted, revents: 0),
            pollfd(fd: cancellation.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        poll(&entries, 2, isBusy ? 0 : deadline.milliseconds)
        if entries[1].revents != 0 {
            throw endpoint.error(
                .cancelled, phase, "connecting to \(endpoint.description) was cancelled during \(phase.rawValue)")
        }
        if deadline.hasPassed {
            throw endpoint.error(.timedOut, phase, Negotiation.silence(of: endpoint, in: phase))
        }
        return entries[0].revents & ~Int16(POLLOUT) != 0
    }

    private static func silence(of endpoint: Endpoint, in phase: SSHError.Phase) -> String {
        switch phase {
        case .banner:
            "\(endpoint.description) accepts connections but does not say that it is an SSH server: "
                + "is it the right port, or is the server overloaded?"
        default:
            "\(endpoint.description) stopped answering during \(phase.rawValue): "
                + "is the network in between still there?"
        }
    }

    /// What libssh2 and the server said last.
    var lastWords: String {
        if let goodbye = wire.goodbye { return "the server said: \(Printable.text(goodbye))" }
        switch wire.fate {
        case .ended: return "the server closed the connection"
        case .failed(let error): return String(cString: strerror(error))
        case .abandoned, nil: break
        }
        var text: UnsafeMutablePointer<CChar>?
        var length: Int32 = 0
        libssh2_session_last_error(session, &text, &length, 0)
        guard let text, length > 0 else { return "no reason was given" }
        return Printable.text(String(cString: text))
    }

    // MARK: banner and key exchange

    /// - Parameter hostKeys: the methods by which the host may prove who it is.
    func handshake(hostKeys: [String]) throws(SSHError) {
        guard Methods.restrict(session, hostKeys: hostKeys) else {
            var list = ""
            for method in hostKeys { list += list.isEmpty ? method : ", \(method)" }
            throw endpoint.error(
                .unsupported, .keyExchange,
                "libssh2 has none of the methods for the host keys that are known of \(endpoint.description) (\(list))")
        }
        let (wire, session) = (wire, session)
        let phase = { () -> SSHError.Phase in
            // Other lines may come first; libssh2 tells the newest one.
            guard let line = libssh2_session_banner_get(session), strncmp(line, "SSH-", 4) == 0 else { return .banner }
            return .keyExchange
        }
        var result = LIBSSH2_ERROR_EAGAIN
        // The banner has a limit of its own, and the key exchange starts its own from there.
        result = try drive(until: .after(options.limits.banner), phase: phase) {
            let result = libssh2_session_handshake(session, wire.socket)
            return result == LIBSSH2_ERROR_EAGAIN && phase() == .keyExchange ? Negotiation.bannerSeen : result
        }
        if result == Negotiation.bannerSeen {
            result = try drive(until: .after(options.limits.keyExchange), phase: phase) {
                libssh2_session_handshake(session, wire.socket)
            }
        }
        guard result == 0 else { throw handshakeError(result, phase()) }
    }

    /// Not one of libssh2's.
    private static let bannerSeen: Int32 = 1

    private func handshakeError(_ result: Int32, _ phase: SSHError.Phase) -> SSHError {
        if phase == .banner {
            return endpoint.error(
                .unreachable, .banner,
                wire.fate == nil
                    ? "\(endpoint.description) does not speak SSH: is it the right port?"
                    : "\(endpoint.description) closed the connection before it said who it is: the server refuses "
                        + "this host or has too many connections just now (MaxStartups)")
        }
        let isOurs = wire.fate == nil && wire.goodbye == nil
        if isOurs, [LIBSSH2_ERROR_KEX_FAILURE, LIBSSH2_ERROR_METHOD_NONE].contains(result) {
            return endpoint.error(
                .unsupported, .keyExchange,
                "libssh2 and \(endpoint.description) have no key exchange, cipher, MAC or type of host key in common")
        }
        return endpoint.error(
            .unreachable, .keyExchange, "key exchange with \(endpoint.description) failed: \(lastWords)\(wire.advice)")
    }

    /// The key that the host has proved to have.
    func hostKey() throws(SSHError) -> [UInt8] {
        var length = 0
        var type: Int32 = 0
        guard let bytes = libssh2_session_hostkey(session, &length, &type), length > 0 else {
            throw endpoint.error(
                .unsupported, .hostKey, "libssh2 does not tell the host key of \(endpoint.description)")
        }
        return [UInt8](UnsafeRawBufferPointer(start: bytes, count: length))
    }
}
