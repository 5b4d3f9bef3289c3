internal import CLibSSH2
internal import Glibc

/// The socket under a session, as libssh2 sees it through its SEND and RECV callbacks.
///
/// Sending never blocks and never says EAGAIN, which libssh2 doesn't survive under backpressure: what the
/// socket doesn't take waits here. Used by one thread at a time.
final class Wire {
    /// What became of the connection.
    enum Fate: Hashable {
        /// The other side has ended it.
        case ended
        case failed(Int32)
        /// We gave it up.
        case abandoned
    }

    let socket: Int32
    let memory = SessionMemory(isLeaky: Library.isMixed)
    var overheard = Overheard()
    /// The server's last words.
    var goodbye: String?
    private(set) var fate: Fate?
    /// libssh2 learns of the end only after it has had everything that came before.
    private(set) var isExposed = false

    /// What to do about a connection that has broken, behind how it has; nothing where the server has said why.
    var advice: String {
        guard let fate, fate != .abandoned, goodbye == nil else { return "" }
        return "; does the network in between break connections, or does the server's log tell more?"
    }

    private let incoming = ByteQueue(capacity: 256 << 10)
    private let outgoing = ByteQueue(capacity: 64 << 10)
    /// The socket may hold something.
    private var mayRead = true
    /// Bytes that this sweep may still take from the socket.
    private var budget = Wire.sweep

    /// So that one sweep is short, whatever comes in.
    private static let sweep = 2 << 20
    /// Whoever writes to a channel stops above this.
    private static let highWater = 256 << 10
    /// More than this is no answer, but a stream.
    private static let answer = 16 << 10
    /// Answers to a server that asks and never reads.
    private static let flood = 16 << 20

    init(socket: Int32) {
        self.socket = socket
        memory.lastLook = { [unowned self] in overheard.note($0) }
    }

    deinit { close(socket) }

    var hasOutgoing: Bool { !outgoing.isEmpty && fate == nil }
    var isCongested: Bool { outgoing.count >= Wire.highWater }
    /// Something has come in that libssh2 has not taken yet.
    var hasIncoming: Bool {
        if incoming.isEmpty { receive() }
        return !incoming.isEmpty
    }
    /// More may be had without waiting.
    var hasMore: Bool { !incoming.isEmpty || mayRead && fate == nil }

    /// A new round; `readable` as poll(2) said.
    func beginSweep(readable: Bool) {
        budget = Wire.sweep
        if readable { mayRead = true }
    }

    /// Ends the connection at once: every later call fails.
    func abandon(_ fate: Fate = .abandoned) {
        if self.fate == nil { self.fate = fate }
        isExposed = true
        shutdown(socket, Int32(SHUT_RDWR))
    }

    /// Lets libssh2 see that the connection has ended.
    func expose() { isExposed = true }

    func flush() {
        while !outgoing.isEmpty, fate == nil {
            let sent = Glibc.send(
                socket, outgoing.front.baseAddress, outgoing.count,
                Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            if sent > 0 {
                outgoing.consume(sent)
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                fate = .failed(errno)
            }
        }
    }

    // MARK: libssh2's side

    fileprivate func take(_ bytes: UnsafeRawBufferPointer) -> Int {
        if fate != nil { return -Int(ECONNRESET) }
        outgoing.append(bytes)
        if outgoing.count >= Wire.highWater { flush() }
        if outgoing.count > Wire.flood { fate = .failed(ENOBUFS) }
        return bytes.count
    }

    fileprivate func give(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        if incoming.isEmpty { receive() }
        guard !incoming.isEmpty else {
            guard isExposed, let fate else { return -Int(EAGAIN) }
            if case .ended = fate { return 0 }
            return -Int(ECONNRESET)
        }
        let length = min(buffer.count, incoming.count)
        buffer.baseAddress!.copyMemory(from: incoming.front.baseAddress!, byteCount: length)
        incoming.consume(length)
        return length
    }

    /// Without this each answer may wait for the delayed acknowledgement of the one before, 40 ms.
    private func acknowledge() {
        var one: Int32 = 1
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_QUICKACK, &one, 4)
    }

    private func receive() {
        while mayRead, fate == nil, budget > 0 {
            let room = incoming.room(for: 128 << 10)
            let length = recv(socket, room.baseAddress, room.count, Int32(MSG_DONTWAIT))
            if length > 0 {
                incoming.grow(by: length)
                budget -= length
                if length < Wire.answer { acknowledge() }
                return
            } else if length == 0 {
                fate = .ended
            } else if errno == EAGAIN {
                mayRead = false
            } else if errno != EINTR {
                fate = .failed(errno)
            }
        }
    }
}

extension Wire {
    /// A libssh2 session over this wire, which must outlive it. Nil without memory.
    func makeSession() -> OpaquePointer? {
        let session = libssh2_session_init_ex(
            { size, abstract in Wire.of(abstract).memory.allocate(size) },
            { block, abstract in Wire.of(abstract).memory.free(block) },
            { block, size, abstract in Wire.of(abstract).memory.resize(block, to: size) },
            Unmanaged.passUnretained(self).toOpaque())
        guard let session else { return nil }
        libssh2_session_set_blocking(session, 0)
        let send: SendCallback = { _, bytes, length, _, abstract in
            Wire.of(abstract).take(UnsafeRawBufferPointer(start: bytes, count: length))
        }
        let receive: ReceiveCallback = { _, buffer, length, _, abstract in
            Wire.of(abstract).give(UnsafeMutableRawBufferPointer(start: buffer, count: length))
        }
        let disconnect: DisconnectCallback = { _, _, message, length, _, _, abstract in
            guard let message, length > 0 else { return }
            let text = UnsafeRawBufferPointer(start: message, count: min(Int(length), 256))
            Wire.of(abstract).goodbye = String(decoding: text, as: UTF8.self)
        }
        libssh2_session_callback_set(
            session, LIBSSH2_CALLBACK_SEND, unsafeBitCast(send, to: UnsafeMutableRawPointer.self))
        libssh2_session_callback_set(
            session, LIBSSH2_CALLBACK_RECV, unsafeBitCast(receive, to: UnsafeMutableRawPointer.self))
        libssh2_session_callback_set(
            session, LIBSSH2_CALLBACK_DISCONNECT, unsafeBitCast(disconnect, to: UnsafeMutableRawPointer.self))
        return session
    }

    private typealias Abstract = UnsafeMutablePointer<UnsafeMutableRawPointer?>
    private typealias SendCallback =
        @convention(c) (Int32, UnsafeRawPointer?, Int, Int32, Abstract?) -> Int
    private typealias ReceiveCallback =
        @convention(c) (Int32, UnsafeMutableRawPointer?, Int, Int32, Abstract?) -> Int
    private typealias DisconnectCallback =
        @convention(c) (OpaquePointer?, Int32, UnsafePointer<CChar>?, Int32, UnsafePointer<CChar>?, Int32, Abstract?) ->
        Void

    private static func of(_ abstract: Abstract?) -> Wire {
        Unmanaged<Wire>.fromOpaque(abstract!.pointee!).takeUnretainedValue()
    }
}
