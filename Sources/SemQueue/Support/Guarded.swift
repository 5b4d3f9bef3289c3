internal import Glibc

/// A value that threads share, behind a pthread mutex.
///
/// Synchronization's Mutex would do, but on Linux a contended one is handed over inside the kernel
/// (FUTEX_LOCK_PI), which the thread sanitizer can't see and reports as races.
final class Guarded<Value>: @unchecked Sendable {
    // Touched only between lock and unlock.
    private var value: Value
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

    init(_ value: Value) {
        self.value = value
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }
}
