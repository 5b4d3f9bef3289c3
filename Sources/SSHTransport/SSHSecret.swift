internal import CLibSSH2
internal import Glibc

/// Bytes that nobody else may see: never printed, never copied, wiped when nobody needs them any more.
public final class SSHSecret: Sendable, CustomStringConvertible {
    private nonisolated(unsafe) let storage: UnsafeMutableRawBufferPointer

    /// Room for so many bytes, filled by `fill`, which returns how many it has used.
    public init(capacity: Int, fill: (UnsafeMutableRawBufferPointer) -> Int) {
        storage = .allocate(byteCount: capacity + 1, alignment: 1)
        storage.initializeMemory(as: UInt8.self, repeating: 0)
        count = min(max(fill(UnsafeMutableRawBufferPointer(rebasing: storage.dropLast())), 0), capacity)
        explicit_bzero(storage.baseAddress! + count, storage.count - count)
    }

    deinit {
        explicit_bzero(storage.baseAddress!, storage.count)
        storage.deallocate()
    }

    public let count: Int

    /// The bytes, and behind them a zero.
    func withBytes<Result>(_ body: (UnsafePointer<CChar>) throws -> Result) rethrows -> Result {
        try body(storage.baseAddress!.assumingMemoryBound(to: CChar.self))
    }

    public var description: String { "(secret)" }
}
