internal import Glibc

/// A thread for calls that block in the kernel, which must not block the cooperative pool. All threads of this module
/// are started here.
struct BlockingThread: @unchecked Sendable {
    // A pthread_t is a plain handle, good in every thread of the process.
    private let handle: pthread_t

    /// Locks, system calls and a few records need little stack; thousands of waiters fit.
    private static let stackSize = 256 << 10

    /// Starts a thread in which every signal is blocked. The kernel gives a signal to any thread that lets it through, and
    /// a handler that runs beside the thread which it is meant for does its work at the wrong moment: one took a slot
    /// from its holder. An ``Alarm`` lets its own through where it is waited with.
    /// - Throws: ``SemaphoreError`` when the process may have no more threads.
    static func start(_ body: @escaping @Sendable () -> Void) throws(SemaphoreError) -> BlockingThread {
        final class Box: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackSize)
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        // A new thread has its creator's mask.
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        let box = Unmanaged.passRetained(Box(body))
        var handle = pthread_t()
        let error = pthread_create(
            &handle, &attributes,
            { argument in
                Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
        guard error == 0 else {
            box.release()
            throw SemaphoreError(
                .io, "can't start a thread to wait in: \(String(cString: strerror(error)))", systemError: error)
        }
        return BlockingThread(handle: handle)
    }

    func join() { pthread_join(handle, nil) }

    func detach() { pthread_detach(handle) }
}
