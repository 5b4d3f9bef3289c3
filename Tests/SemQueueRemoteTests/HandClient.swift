import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Speaks with an agent by hand: what is sent goes as it is, what comes is kept.
final class HandClient {
    let running: Running
    private var input: Int32
    static let nonce = "0123456789abcdef"

    /// - Parameter words: a program whose standard input and output an agent has.
    init(_ sandbox: Sandbox, _ words: [String], named name: String = "hand") throws {
        let fifo = sandbox.path(name)
        try #require(mkfifo(fifo, 0o600) == 0)
        // For reading too: then neither side waits for the other to open it.
        input = open(fifo, O_RDWR | O_CLOEXEC)
        try #require(input >= 0)
        running = try sandbox.start(words, input: name)
        // What opens the FIFO must do so while this end is open.
        try #require(Event.happens { running.inputIsOpen(fifo) })
    }

    deinit { close() }

    /// The agent reads no more.
    func close() {
        if input >= 0 { Glibc.close(input) }
        input = -1
    }

    /// - Returns: false when it isn't taken in time.
    @discardableResult
    func send(_ text: String) -> Bool { send(Array((text + "\n").utf8)) }

    @discardableResult
    func send(_ bytes: [UInt8], within seconds: Int32 = 20) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            var event = pollfd(fd: input, events: Int16(POLLOUT), revents: 0)
            guard !running.hasEnded else { return false }
            let isReady = poll(&event, 1, seconds * 1000)
            if isReady < 0, errno == EINTR { continue }
            guard isReady == 1 else {
                return false
            }
            // As much as a pipe takes for sure when it can be written to.
            let count = rest.prefix(4096).withUnsafeBytes { write(input, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Greets, and waits for the answer.
    func greet(versions: String = "1-1") throws {
        try #require(send("semq nonce=\(Self.nonce) versions=\(versions)"))
        try #require(says("semq-agent nonce=\(Self.nonce)"), "\(running.out) \(running.err)")
    }

    /// Whether a line that begins so has come, or comes before long.
    func says(_ start: String, within seconds: Double = 20) -> Bool {
        Event.happens(within: seconds) { line(start) != nil }
    }

    /// The last line that begins so.
    func line(_ start: String) -> String? {
        running.out.split(separator: "\n").last { $0.hasPrefix(start) }.map(String.init)
    }

    /// A value of the last message with that verb.
    func value(_ name: String, of verb: String) -> String? {
        line(verb + " ")?.split(separator: " ").first { $0.hasPrefix(name + "=") }.map {
            String($0.dropFirst(name.count + 1))
        }
    }
}

extension Running {
    /// Whether the process has a file of that path open.
    fileprivate func inputIsOpen(_ path: String) -> Bool {
        let folder = "/proc/\(pid)/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return hasEnded
            || names.contains {
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)")) == path
            }
    }
}
