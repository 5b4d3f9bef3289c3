internal import CLibSSH2
internal import Glibc

/// How a transfer went.
public struct SSHTransfer: Hashable, Sendable {
    /// How the command at the other end ended.
    public var exit: SSHExit
    /// How many bytes went over.
    public var bytes: Int
    /// The beginning of what the command said on standard error.
    public var errors: String
}

extension SSHSession {
    /// As much of a stream as may be on its way: enough for 100 ms at 160 MB/s.
    private static let bulk = 16 << 20
    private static let errorLimit = 64 << 10

    /// Streams a file into a remote command, such as `cat >name`. Blocks until that has ended.
    /// - Parameters:
    ///   - descriptor: read from where it stands; the session's from now on.
    ///   - size: how many bytes there are; anything else is an error. Nil: whatever comes.
    ///   - command: as the log-in shell there takes it.
    ///   - progress: called a few times each second, with the number of bytes so far.
    /// - Throws: where the connection or reading the file fails; a command that fails is a value.
    public func upload(
        from descriptor: Int32, size: Int? = nil, to command: String, progress: ((Int) -> Void)? = nil
    ) throws(SSHError) -> SSHTransfer {
        let result = try transfer(descriptor, progress, \.bytesSent) { errors throws(SSHError) in
            try exec(command, input: descriptor, output: -1, error: errors)
        }
        if let size, result.exit == .exited(0), result.bytes != size {
            throw problem(
                "\(result.bytes) bytes were there to upload to \(hostName), not \(size): did the file change?")
        }
        return result
    }

    /// Streams what a remote command says, such as `cat name`, into a file. Blocks until that has ended.
    /// - Parameters:
    ///   - command: as the log-in shell there takes it.
    ///   - descriptor: written to from where it stands; the session's from now on.
    ///   - progress: as in ``upload(from:size:to:progress:)``.
    public func download(
        from command: String, to descriptor: Int32, progress: ((Int) -> Void)? = nil
    ) throws(SSHError) -> SSHTransfer {
        try transfer(descriptor, progress, \.bytesReceived) { errors throws(SSHError) in
            try exec(command, input: -1, output: descriptor, error: errors, window: Self.bulk)
        }
    }

    /// - Parameter start: is given where the command is to complain, and takes that and the descriptor over.
    private func transfer(
        _ descriptor: Int32, _ progress: ((Int) -> Void)?, _ count: (SSHChannel) -> Int,
        _ start: (Int32) throws(SSHError) -> SSHChannel
    ) throws(SSHError) -> SSHTransfer {
        var errors: [Int32] = [-1, -1]
        guard pipe2(&errors, O_CLOEXEC) == 0 else {
            let error = errno
            Glibc.close(descriptor)
            throw problem("there is no descriptor for a transfer with \(hostName): \(String(cString: strerror(error)))")
        }
        defer { Glibc.close(errors[0]) }
        let channel = try start(errors[1])
        let result = follow(channel, errors[0], progress, count)
        try check(channel)
        return result
    }

    private func problem(_ message: String) -> SSHError {
        SSHError(.system, .transfer, host: hostName, port: port, message)
    }

    private func check(_ channel: SSHChannel) throws(SSHError) {
        guard channel.localError != 0 else { return }
        let reason = String(cString: strerror(channel.localError))
        throw problem("the transfer with \(hostName) ended, because the file here can't be used: \(reason)")
    }

    private func follow(
        _ channel: SSHChannel, _ errors: Int32, _ progress: ((Int) -> Void)?, _ count: (SSHChannel) -> Int
    ) -> SSHTransfer {
        var said: [UInt8] = []
        var isOpen = true
        while isOpen {
            var entry = pollfd(fd: errors, events: Int16(POLLIN), revents: 0)
            if poll(&entry, 1, 200) > 0 {
                var buffer = [UInt8](repeating: 0, count: 4096)
                let length = read(errors, &buffer, buffer.count)
                isOpen = length > 0 || length < 0 && (errno == EAGAIN || errno == EINTR)
                if length > 0 { said += buffer[..<min(length, Self.errorLimit - said.count)] }
            }
            progress?(count(channel))
        }
        let exit = channel.wait()
        progress?(count(channel))
        return SSHTransfer(exit: exit, bytes: count(channel), errors: String(decoding: said, as: UTF8.self))
    }
}
