internal import Glibc

/// The thread that a session is driven by, or that a blocking call is made on. All threads of this module are started
/// here.
struct SessionThread: @unchecked Sendable {
    // A pthread_t is a plain handle, good in every thread of the process.
    private let handle: pthread_t

    /// libssh2 and OpenSSL keep their big buffers on the heap.
    private static let stackSize = 512 << 10

    /// Starts a thread in which every signal is blocked: they are the program's, and a write to a pipe that
    /// nobody reads is an error number here.
    /// - Returns: nil when the process may have no more threads; errno tells why.
    static func start(_ body: @escaping @Sendable () -> Void) -> SessionThread? {
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
            errno = error
            return nil
        }
        return SessionThread(handle: handle)
    }

    func join() { pthread_join(handle, nil) }

    func detach() { pthread_detach(handle) }
}
