internal import Glibc

/// What libssh2 allocates for one session: bounded, wiped when freed, and all given back in the end.
///
/// Bounded, since libssh2 keeps every message that it doesn't expect, so that a server could fill the memory.
/// Wiped, since passphrases and keys pass through it. Given back, since libssh2 1.10 leaks where a key exchange
/// or an authentication is broken off.
final class SessionMemory {
    private struct Header {
        var previous: UnsafeMutablePointer<Header>?
        var next: UnsafeMutablePointer<Header>?
        var size: Int
        var padding = 0
    }

    /// Beyond what a full window of 1 MiB takes in messages of one byte each, about 140 MiB.
    static let limit = 256 << 20

    private var first: UnsafeMutablePointer<Header>?
    private(set) var used = 0
    /// Something was refused: the session can't go on.
    private(set) var isExhausted = false
    /// Sees each block once more before it is wiped.
    var lastLook: ((UnsafeRawBufferPointer) -> Void)?

    deinit { while let header = first { release(header + 1) } }

    func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
        guard size >= 0, used + size <= SessionMemory.limit,
            let raw = malloc(size + MemoryLayout<Header>.stride)
        else {
            isExhausted = true
            return nil
        }
        let header = raw.bindMemory(to: Header.self, capacity: 1)
        header.initialize(to: Header(previous: nil, next: first, size: size))
        first?.pointee.previous = header
        first = header
        used += size
        return UnsafeMutableRawPointer(header + 1)
    }

    func resize(_ block: UnsafeMutableRawPointer?, to size: Int) -> UnsafeMutableRawPointer? {
        guard let block else { return allocate(size) }
        guard let new = allocate(size) else { return nil }
        let header = block.assumingMemoryBound(to: Header.self) - 1
        new.copyMemory(from: block, byteCount: min(size, header.pointee.size))
        release(block)
        return new
    }

    func free(_ block: UnsafeMutableRawPointer?) {
        guard let block else { return }
        let header = block.assumingMemoryBound(to: Header.self) - 1
        lastLook?(UnsafeRawBufferPointer(start: block, count: header.pointee.size))
        release(block)
    }

    private func release(_ block: UnsafeMutableRawPointer) {
        let header = block.assumingMemoryBound(to: Header.self) - 1
        let size = header.pointee.size
        header.pointee.previous?.pointee.next = header.pointee.next
        header.pointee.next?.pointee.previous = header.pointee.previous
        if first == header { first = header.pointee.next }
        used -= size
        explicit_bzero(block, size)
        Glibc.free(header)
    }
}
