internal import CLibSSH2
internal import Glibc

/// Drives one session on a thread of its own: nobody else calls libssh2 with it.
///
/// Each round does what is wanted, then sweeps all channels, since libssh2 doesn't tell which of them a message was
/// for; then it waits for the socket, the local descriptors, and other threads.
final class Driver {
    private let endpoint: Endpoint
    private let wire: Wire
    private let session: OpaquePointer
    private let mailbox: Mailbox
    private let limits: SSHLimits
    private var pumps: [Pump] = []
    /// libssh2 opens one channel at a time.
    private var openings: [Opening] = []
    private var opener: Opener?
    private var failure: SSHError?
    /// When the leftovers of a lost connection are given up.
    private var lingerEnd: Deadline?

    /// When a message that came while there was no channel is read all the same.
    private var idleEnd: Deadline?
    private static let idle = Duration.seconds(1)

    init(_ negotiation: Negotiation, mailbox: Mailbox) {
        endpoint = negotiation.endpoint
        wire = negotiation.wire
        session = negotiation.session
        limits = negotiation.options.limits
        self.mailbox = mailbox
    }

    /// Returns why it is over, once everything but the socket is given back.
    func run() -> SSHError {
        var news = News(hasMail: true, isReadable: true)
        var ending: Mailbox.Ending?
        while failure == nil {
            if news.hasMail {
                let mail = mailbox.take()
                for request in mail.requests { accept(request) }
                ending = mail.ending
                if ending != nil { break }
            }
            wire.beginSweep(readable: news.isReadable)
            let moved = sweep()
            wire.flush()
            if failure != nil { break }
            if wire.fate != nil, !moved, isDrained() { break }
            news = wait(moved: moved)
        }
        return finish(ending)
    }

    private func accept(_ request: Mailbox.Request) {
        switch request {
        case .open(let opening): openings.append(opening)
        case .close(let number): pumps.first { $0.handle.number == number }?.close(.unknown)
        }
    }

    // MARK: a round

    /// - Returns: whether anything moved, so that another round may be worth while.
    private func sweep() -> Bool {
        var moved = open()
        for pump in pumps {
            pump.sweep()
            moved = moved || pump.moved
            if case .failed(let code) = pump.state { lose(code) }
        }
        pumps.removeAll { $0.state == .closed }
        return readUnwanted() || moved || wire.hasMore && idleEnd == nil && wire.fate == nil
    }

    /// Whatever comes in is read, wanted or not: window adjustments, questions of the server.
    /// - Returns: whether another round is wanted for it.
    private func readUnwanted() -> Bool {
        guard failure == nil, opener == nil, wire.hasIncoming else {
            idleEnd = nil
            return false
        }
        if let pump = pumps.first(where: { $0.state == .open }) {
            pump.touch()
            if case .failed(let code) = pump.state { lose(code) }
            return false
        }
        // Without a channel only an opening reads, and the next one may come soon.
        let end = idleEnd ?? .after(Driver.idle)
        idleEnd = end
        guard pumps.isEmpty, openings.isEmpty, end.hasPassed else { return false }
        idleEnd = nil
        opener = Opener(idle: session, wire: wire)
        return true
    }

    /// - Returns: whether a channel was opened or refused.
    private func open() -> Bool {
        if opener == nil, !openings.isEmpty {
            opener = Opener(openings.removeFirst(), session: session, wire: wire)
        }
        guard let opener else { return false }
        switch opener.advance() {
        case .waiting: return false
        case .opened(let channel, let id):
            let opening = opener.opening!
            pumps.append(Pump(opening, channel: channel, id: id, wire: wire))
            opening.answer.fulfill(nil)
        case .refused(let phase, let message):
            if let opening = opener.opening {
                let text = "\(endpoint.description) \(message)"
                drop(opening, endpoint.error(.refused, phase, text))
            }
        case .failed(let code):
            lose(code)
            if let opening = opener.opening, let failure { drop(opening, failure) }
        }
        self.opener = nil
        if !openings.isEmpty { _ = open() }
        return true
    }

    private func drop(_ opening: Opening, _ error: SSHError) {
        for descriptor in Set([opening.ends.input, opening.ends.output, opening.ends.error]) where descriptor >= 0 {
            close(descriptor)
        }
        opening.answer.fulfill(error)
        opening.channel.finish(.unknown)
    }

    private func lose(_ code: Int32) {
        guard failure == nil else { return }
        failure = endpoint.error(
            .lost, .transfer, "the connection to \(endpoint.description) is lost: \(reason(code))\(wire.advice)")
    }

    private func reason(_ code: Int32) -> String {
        if let goodbye = wire.goodbye { return "the server said: \(Printable.text(goodbye))" }
        if wire.memory.isExhausted { return "the server sent far more than was asked of it" }
        switch wire.fate {
        case .ended: return "the server closed it"
        case .failed(let error): return String(cString: strerror(error))
        case .abandoned: return "it was given up here"
        case nil: break
        }
        var text: UnsafeMutablePointer<CChar>?
        var length: Int32 = 0
        libssh2_session_last_error(session, &text, &length, 0)
        return text.map { Printable.text(String(cString: $0)) } ?? "libssh2 says \(code)"
    }

    /// The connection is over and nothing moves: whether all that came in is taken, or nobody seems to take it.
    private func isDrained() -> Bool {
        if pumps.contains(where: \.hasLeftovers) {
            let end = lingerEnd ?? .after(limits.close)
            lingerEnd = end
            if !end.hasPassed { return false }
        }
        lose(LIBSSH2_ERROR_SOCKET_DISCONNECT)
        return true
    }

    // MARK: waiting

    private struct News {
        /// Other threads want something.
        var hasMail: Bool
        /// The socket has something.
        var isReadable: Bool
    }

    private func wait(moved: Bool) -> News {
        var entries = [pollfd(fd: mailbox.wake.descriptor, events: Int16(POLLIN), revents: 0)]
        if wire.fate == nil {
            let events = Int16(POLLIN) | (wire.hasOutgoing ? Int16(POLLOUT) : 0)
            entries.append(pollfd(fd: wire.socket, events: events, revents: 0))
        } else {
            entries.append(pollfd(fd: -1, events: 0, revents: 0))
        }
        var owners: [Pump] = []
        for pump in pumps {
            for entry in pump.interests() {
                entries.append(entry)
                owners.append(pump)
            }
        }
        var deadline = min(lingerEnd ?? .never, idleEnd ?? .never)
        if let opener { deadline = min(deadline, opener.deadline) }
        poll(&entries, nfds_t(entries.count), moved ? 0 : deadline.milliseconds)
        for (entry, pump) in zip(entries.dropFirst(2), owners) { pump.note(entry) }
        if let opener, opener.deadline.hasPassed {
            failure = endpoint.error(
                .lost, opener.phase,
                "\(endpoint.description) stopped answering while \(opener.phase.rawValue): "
                    + "is the network in between still there?")
        }
        return News(hasMail: entries[0].revents != 0, isReadable: entries[1].revents & ~Int16(POLLOUT) != 0)
    }

    // MARK: the end

    private func finish(_ ending: Mailbox.Ending?) -> SSHError {
        if case .orderly = ending, wire.fate == nil { sayGoodbye() }
        // From here on no call waits for the other side: channel_close and session_free would, for ever.
        wire.abandon()
        let error =
            failure ?? endpoint.error(.cancelled, .close, "the session with \(endpoint.description) was closed")
        if let opening = opener?.opening { drop(opening, error) }
        for opening in openings { drop(opening, error) }
        for pump in pumps { pump.abandon() }
        pumps = []
        while libssh2_session_free(session) == LIBSSH2_ERROR_EAGAIN {}
        for request in mailbox.shut() {
            if case .open(let opening) = request { drop(opening, error) }
        }
        return error
    }

    private func sayGoodbye() {
        let deadline = Deadline.after(limits.close)
        // A server that hears goodbye forgets what it has not yet passed on to the commands.
        while pumps.contains(where: { $0.state == .closing }) {
            for pump in pumps where pump.state == .closing { pump.sweep() }
            pumps.removeAll { $0.state == .closed }
            wire.flush()
            guard pumps.contains(where: { $0.state == .closing }) else { break }
            guard pause(until: deadline) else { return }
        }
        while libssh2_session_disconnect_ex(session, SSH_DISCONNECT_BY_APPLICATION, "", "") == LIBSSH2_ERROR_EAGAIN {
            guard pause(until: deadline) else { return }
        }
        wire.flush()
        while wire.hasOutgoing, pause(until: deadline) { wire.flush() }
    }

    private func pause(until deadline: Deadline) -> Bool {
        guard !deadline.hasPassed, wire.fate == nil else { return false }
        var entry = pollfd(fd: wire.socket, events: Int16(POLLIN | (wire.hasOutgoing ? POLLOUT : 0)), revents: 0)
        poll(&entry, 1, deadline.milliseconds)
        wire.beginSweep(readable: true)
        return true
    }
}
