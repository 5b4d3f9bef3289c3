import Foundation
import Testing

@testable import SSHTransport

/// What a command over a session said, and how it ended.
struct Spoken: Equatable {
    var exit: SSHExit
    var out: String
    var err: String
}

extension SSHSession {
    /// Runs a command to its end.
    func run(_ command: String, input: String = "") throws -> Spoken {
        let (stdin, stdout, stderr) = (try Scratch(input), try Scratch(), try Scratch())
        let channel = try exec(command, input: stdin.copy(), output: stdout.copy(), error: stderr.copy())
        let exit = channel.wait()
        return Spoken(exit: exit, out: stdout.text, err: stderr.text)
    }
}

/// A file without a name.
final class Scratch {
    let descriptor: Int32

    init(_ text: String = "") throws {
        var template = Array("/tmp/semq-ssh.XXXXXX".utf8CString)
        descriptor = mkstemp(&template)
        try #require(descriptor >= 0)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        unlink(template)
        let bytes = Array(text.utf8)
        try #require(write(descriptor, bytes, bytes.count) == bytes.count)
        lseek(descriptor, 0, SEEK_SET)
    }

    deinit { close(descriptor) }

    /// For somebody who closes it; it stands where this one does.
    func copy() -> Int32 { fcntl(descriptor, F_DUPFD_CLOEXEC, 3) }

    var size: Int {
        var about = stat()
        fstat(descriptor, &about)
        return Int(about.st_size)
    }

    var bytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: size)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        return Array(bytes.prefix(max(0, count)))
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// Two ends of a stream, of which a session gets one.
struct Ends {
    let ours: Int32
    let theirs: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
        (ours, theirs) = (ends[0], ends[1])
    }

    func read(_ count: Int) -> Int {
        var buffer = [UInt8](repeating: 0, count: count)
        return Foundation.read(ours, &buffer, count)
    }

    /// Reads to the end.
    func all() -> [UInt8] {
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Foundation.read(ours, &buffer, buffer.count)
            if count <= 0 { return result }
            result += buffer[..<count]
        }
    }
}
