internal import CLibSSH2
internal import Glibc

/// One open channel: carries bytes between it and the local descriptors, with backpressure both ways. What the
/// other side doesn't take is not read here, and what nobody takes here is not asked of the other side.
final class Pump {
    let handle: SSHChannel
    private let channel: OpaquePointer
    /// libssh2's number of it.
    private let id: UInt32
    private let wire: Wire
    /// A connection has no second stream and no exit status.
    private let isCommand: Bool

    private var input: LocalStream?
    private var output: Outlet
    private var error: Outlet
    /// Read here, not yet taken by the channel; not touched between two tries to write it.
    private let upward = ByteQueue(capacity: Pump.chunk)
    private var isInputOver = false
    private var isEndSent = false
    private var isRemoteOver = false
    private var isAbandonedHere = false
    private(set) var state = State.open
    /// Something moved in the newest sweep.
    private(set) var moved = false

    enum State: Equatable {
        case open
        /// Ours is said; the other side's word is awaited, until then at most.
        case closing
        /// libssh2 has freed it.
        case closed
        /// The connection can't be used any more.
        case failed(Int32)
    }

    private static let chunk = 128 << 10
    /// Pieces of 32 KiB that one sweep may send.
    private static let pieces = 16

    /// A stream that comes from the other side.
    private struct Outlet {
        var stream: LocalStream?
        let queue = ByteQueue(capacity: Pump.chunk)
        /// It is what the command has to say, and not its complaints.
        let counts: Bool

        /// - Returns: false once nobody takes it any more.
        mutating func flush(_ moved: inout Bool, for handle: SSHChannel) -> Bool {
            guard let stream else {
                queue.removeAll()
                return true
            }
            while !queue.isEmpty, stream.isReady {
                switch stream.write(UnsafeRawBufferPointer(queue.front)) {
                case .bytes(let count):
                    queue.consume(count)
                    if counts { handle.count(received: count) }
                    moved = true
                case .later: return true
                case .over(let error):
                    if error != EPIPE { handle.note(localError: error) }
                    queue.removeAll()
                    self.stream = nil
                    return false
                }
            }
            return true
        }
    }

    init(_ opening: Opening, channel: OpaquePointer, id: UInt32, wire: Wire) {
        handle = opening.channel
        self.channel = channel
        self.id = id
        self.wire = wire
        if case .exec = opening.purpose { isCommand = true } else { isCommand = false }
        let ends = opening.ends
        input = ends.input >= 0 ? LocalStream(ends.input, .reading) : nil
        output = Outlet(stream: ends.output >= 0 ? LocalStream(ends.output, .writing) : nil, counts: true)
        error = Outlet(stream: ends.error >= 0 ? LocalStream(ends.error, .writing) : nil, counts: false)
        isInputOver = input == nil
    }

    // MARK: one round

    func sweep() {
        moved = false
        if state == .open { carry() }
        if state == .closing { finishClosing() }
    }

    private func carry() {
        guard sendInput() else { return }
        guard take(0, into: output.queue), take(1, into: error.queue) else { return }
        if !output.flush(&moved, for: handle) { outputIsGone() }
        _ = error.flush(&moved, for: handle)
        guard state == .open else { return }
        if isAbandonedHere, isEndSent { return close(.unknown) }
        guard isRemoteOver || libssh2_channel_eof(channel) != 0 else { return }
        isRemoteOver = true
        if output.queue.isEmpty { output.stream = nil }
        if error.queue.isEmpty { error.stream = nil }
        guard output.queue.isEmpty, error.queue.isEmpty else { return }
        let code = libssh2_channel_wait_closed(channel)
        if code == 0 { return close(isCommand ? exitStatus() : .exited(0)) }
        // A connection that is over in one direction goes on in the other.
        if code != LIBSSH2_ERROR_EAGAIN { state = .failed(code) }
    }

    /// - Returns: false if there is no going on.
    private func sendInput() -> Bool {
        for _ in 0..<Pump.pieces {
            if upward.isEmpty, let input, input.isReady, !wire.isCongested {
                let room = upward.room(for: Pump.chunk)
                switch input.read(into: UnsafeMutableRawBufferPointer(rebasing: room.prefix(Pump.chunk))) {
                case .bytes(let count):
                    upward.grow(by: count)
                    moved = true
                case .later: break
                case .over(let error):
                    // Half an input must not look like a whole one.
                    guard error == 0 else { return inputFailed(error) }
                    self.input = nil
                    isInputOver = true
                }
            }
            if upward.isEmpty { break }
            guard !wire.isCongested else { return true }
            let front = upward.front
            let count = libssh2_channel_write_ex(
                channel, 0, front.baseAddress!.assumingMemoryBound(to: CChar.self), front.count)
            if count > 0 {
                upward.consume(count)
                handle.count(sent: count)
                moved = true
            } else if count == 0 || count == Int(LIBSSH2_ERROR_EAGAIN) {
                return true
            } else if count == Int(LIBSSH2_ERROR_CHANNEL_CLOSED) || count == Int(LIBSSH2_ERROR_CHANNEL_EOF_SENT) {
                upward.removeAll()
                input = nil
                isInputOver = true
            } else {
                state = .failed(Int32(count))
                return false
            }
        }
        guard isInputOver, upward.isEmpty, !isEndSent else { return true }
        let code = libssh2_channel_send_eof(channel)
        if code == 0 { isEndSent = true } else if code != LIBSSH2_ERROR_EAGAIN { state = .failed(code) }
        return code == 0 || code == LIBSSH2_ERROR_EAGAIN
    }

    private func inputFailed(_ error: Int32) -> Bool {
        handle.note(localError: error)
        close(.unknown)
        return false
    }

    /// - Returns: false if the connection failed.
    private func take(_ stream: Int32, into queue: ByteQueue) -> Bool {
        guard queue.count < Pump.chunk else { return true }
        let room = queue.room(for: Pump.chunk)
        let count = libssh2_channel_read_ex(
            channel, stream, room.baseAddress!.assumingMemoryBound(to: CChar.self), Pump.chunk)
        if count > 0 {
            queue.grow(by: count)
            moved = true
        } else if count < 0, count != Int(LIBSSH2_ERROR_EAGAIN) {
            state = .failed(Int32(count))
            return false
        }
        return true
    }

    /// Lets libssh2 read what has come in although nothing is wanted of it here.
    func touch() {
        guard state == .open else { return }
        var byte: CChar = 0
        let count = libssh2_channel_read_ex(channel, 0x7fff, &byte, 1)
        if count < 0, count != Int(LIBSSH2_ERROR_EAGAIN) { state = .failed(Int32(count)) }
    }

    /// Nobody takes the output any more: the command ends, like one before a closed pipe. Only what a peer has
    /// written before it closed its socket still goes through.
    private func outputIsGone() {
        output.stream = nil
        if let input, input.isSocket { isAbandonedHere = true } else { close(.unknown) }
    }

    private func exitStatus() -> SSHExit {
        var name: UnsafeMutablePointer<CChar>?
        var length = 0
        if libssh2_channel_get_exit_signal(channel, &name, &length, nil, nil, nil, nil) == 0, let name {
            defer { wire.memory.free(name) }
            return .signaled(Printable.text(String(cString: name), limit: 32))
        }
        // libssh2 says 0, too, where the server said nothing.
        guard let status = wire.overheard.status(of: id) else { return .unknown }
        return .exited(Int32(truncatingIfNeeded: status))
    }

    // MARK: the end

    /// The local ends are let go of at once; libssh2's end when the other side agrees.
    func close(_ exit: SSHExit) {
        guard state == .open else { return }
        letGo()
        state = .closing
        handle.finish(exit)
    }

    /// The connection is over, and so is libssh2's end of this.
    func abandon() {
        letGo()
        handle.finish(.unknown)
    }

    private func letGo() {
        input = nil
        output.stream = nil
        error.stream = nil
        _ = wire.overheard.status(of: id)
    }

    private func finishClosing() {
        let code = libssh2_channel_free(channel)
        if code != LIBSSH2_ERROR_EAGAIN { state = .closed }
    }

    // MARK: what to wait for

    /// Somebody here could still take what is left.
    var hasLeftovers: Bool {
        state == .open && (!output.queue.isEmpty && output.stream != nil || !error.queue.isEmpty && error.stream != nil)
    }

    /// The local descriptors that a wait should end for.
    func interests() -> [pollfd] {
        guard state == .open else { return [] }
        var result: [pollfd] = []
        if let input, upward.isEmpty, !wire.isCongested, !input.isReady {
            result.append(pollfd(fd: input.descriptor, events: Int16(POLLIN), revents: 0))
        }
        for outlet in [output, error] {
            // Without an event, poll still tells that the reader has gone.
            guard let stream = outlet.stream else { continue }
            let wanted = outlet.queue.isEmpty ? 0 : Int16(POLLOUT)
            result.append(pollfd(fd: stream.descriptor, events: wanted, revents: 0))
        }
        return result
    }

    /// What poll(2) said of one of ``interests()``.
    func note(_ entry: pollfd) {
        guard entry.revents != 0, state == .open else { return }
        if let input, input.descriptor == entry.fd { input.isReady = true }
        let isGone = entry.revents & Int16(POLLERR | POLLHUP | POLLNVAL) != 0
        if let stream = output.stream, stream.descriptor == entry.fd {
            stream.isReady = true
            if isGone { outputIsGone() }
        }
        if let stream = error.stream, stream.descriptor == entry.fd {
            stream.isReady = true
            if isGone { error.stream = nil }
        }
    }
}
