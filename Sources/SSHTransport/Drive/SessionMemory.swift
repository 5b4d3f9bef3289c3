internal import Glibc

/// What libssh2 allocates for one session: bounded, wiped when freed, and all given back in the end.
///
/// Bounded, since libssh2 keeps every message that it doesn't expect, so that a server could fill the memory.
/// Wiped, since passphrases and keys pass through it. Given back, since libssh2 1.10 leaks where a key exchange
/// or an authentication is broken off.
///
/// The blocks are plain ones of malloc(3): libssh2 1.11.1 hands some of them to free(3) itself (its issue 1828).
final class SessionMemory {
    /// Beyond what a full window of 1 MiB takes in messages of one byte each, about 140 MiB.
    static let limit = 256 << 20

    /// What is out, with its size.
    private var blocks: [UnsafeMutableRawPointer: Int] = [:]
    /// Some blocks may have gone behind our back.
    private let isLeaky: Bool
    private(set) var used = 0
    /// Something was refused: the session can't go on.
    private(set) var isExhausted = false
    /// Sees each block once more before it is wiped.
    var lastLook: ((UnsafeRawBufferPointer) -> Void)?

    init(isLeaky: Bool) { self.isLeaky = isLeaky }

    deinit {
        // One that has gone already must not go twice.
        guard !isLeaky else { return }
        for (block, size) in blocks { SessionMemory.wipe(block, size) }
    }

    func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
        guard size >= 0, used + size <= SessionMemory.limit, let block = malloc(max(size, 1)) else {
            isExhausted = true
            return nil
        }
        used += size
        if let gone = blocks.updateValue(size, forKey: block) { used -= gone }
        return block
    }

    func resize(_ block: UnsafeMutableRawPointer?, to size: Int) -> UnsafeMutableRawPointer? {
        guard let block else { return allocate(size) }
        guard let new = allocate(size) else { return nil }
        new.copyMemory(from: block, byteCount: min(size, blocks[block] ?? 0))
        release(block)
        return new
    }

    func free(_ block: UnsafeMutableRawPointer?) {
        guard let block else { return }
        lastLook?(UnsafeRawBufferPointer(start: block, count: blocks[block] ?? 0))
        release(block)
    }

    private func release(_ block: UnsafeMutableRawPointer) {
        let size = blocks.removeValue(forKey: block) ?? 0
        used -= size
        SessionMemory.wipe(block, size)
    }

    private static func wipe(_ block: UnsafeMutableRawPointer, _ size: Int) {
        explicit_bzero(block, size)
        Glibc.free(block)
    }
}
