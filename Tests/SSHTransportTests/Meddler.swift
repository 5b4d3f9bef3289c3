import Foundation
import Synchronization
import Testing

/// Stands between a client and a real server, and spoils what the server sends from a certain byte on.
final class Meddler: Sendable {
    enum Deed: Sendable, CaseIterable {
        /// Nothing passes any more.
        case silence
        /// Both ends are closed.
        case close
        /// The client gets a reset.
        case reset
        /// One byte is another, and the rest passes.
        case flip
        /// A thousand bytes come in between.
        case insert
    }

    /// Signalled when it has done it.
    let deed = DispatchSemaphore(value: 0)
    var port: Int { server.port }
    private let server: FakeServer
    /// Bytes that the server has sent through it so far.
    let passed: Count

    final class Count: Sendable {
        private let value = Mutex(0)
        var now: Int { value.withLock { $0 } }
        fileprivate func add(_ count: Int) { value.withLock { $0 += count } }
    }

    /// - Parameter offset: bytes of the server that pass first; nil: all.
    init(before target: Int, _ deed: Deed = .silence, after offset: Int? = nil) throws {
        let done = self.deed
        let passed = Count()
        self.passed = passed
        server = try FakeServer { client in
            guard let server = try? FakeServer.dial(target) else {
                Foundation.close(client)
                return
            }
            Thread.detachNewThread {
                Meddler.carry(client, server, deed, offset ?? .max, passed, done)
            }
        }
    }

    private static func carry(
        _ client: Int32, _ server: Int32, _ deed: Deed, _ offset: Int, _ passed: Count, _ done: DispatchSemaphore
    ) {
        defer {
            close(client)
            close(server)
        }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var left = offset
        var isSilent = false
        while true {
            var entries = [
                pollfd(fd: client, events: Int16(POLLIN), revents: 0),
                pollfd(fd: isSilent ? -1 : server, events: Int16(POLLIN), revents: 0),
            ]
            poll(&entries, 2, -1)
            if entries[0].revents != 0 {
                let count = read(client, &buffer, buffer.count)
                if count <= 0 { return }
                if !isSilent { guard send(buffer[..<count], to: server) else { return } }
            }
            guard entries[1].revents != 0 else { continue }
            let count = read(server, &buffer, buffer.count)
            if count <= 0 { return }
            let before = min(left, count)
            guard send(buffer[..<before], to: client) else { return }
            passed.add(before)
            left -= before
            guard before < count else { continue }
            switch deed {
            case .silence: isSilent = true
            case .close: break
            case .reset:
                var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
                setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
            case .flip: buffer[before] ^= 1
            case .insert: _ = send((0..<1000).map { _ in UInt8.random(in: 0...255) }[...], to: client)
            }
            done.signal()
            if deed == .close || deed == .reset { return }
            left = .max
            if !isSilent { guard send(buffer[before..<count], to: client) else { return } }
        }
    }

    private static func send(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count <= 0 { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
