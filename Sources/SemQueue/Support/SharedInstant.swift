internal import CSemQueue
internal import Glibc

/// A moment that processes share which were forked from one another: what one has learnt outlives it.
final class SharedInstant {
    private let nanoseconds: UnsafeMutablePointer<Int64>?

    /// Without memory for it, each process has a moment of its own.
    init(_ value: Duration) {
        let size = MemoryLayout<Int64>.size
        let base = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        nanoseconds = base == MAP_FAILED ? nil : base?.assumingMemoryBound(to: Int64.self)
        advance(to: value)
    }

    deinit { if let nanoseconds { munmap(nanoseconds, MemoryLayout<Int64>.size) } }

    /// Who is killed meanwhile leaves the old or the new moment.
    func advance(to value: Duration) { if let nanoseconds { semq_word_set(nanoseconds, value.nanoseconds) } }

    var value: Duration? { nanoseconds.map { .nanoseconds(semq_word_get($0)) } }
}
