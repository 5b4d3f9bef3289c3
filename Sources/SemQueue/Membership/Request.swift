internal import Glibc

/// What an acquirer asks of one queue.
package struct Request: Sendable {
    package var priority = 0
    /// Why, for those who wait behind.
    package var description = ""
    /// Makes the queue so; refused where the file says otherwise. Nil takes it as it is.
    package var concurrency: Int?
    /// How long to wait; nil waits for ever. With zero no ticket is drawn.
    package var limit: Duration?
    /// Refuse to make the queue file.
    package var existing = false
    /// What is said where there is none then.
    var absence = ", and --existing makes none"
    /// For a key that reaches one folder only; see ``QueueFile/Options/confinedTo``.
    var confinedTo: String?
    var isConfined: Bool { confinedTo != nil }
    /// Use file systems that are not known to keep locks.
    package var anyFilesystem = false
    /// How long a request that doesn't wait stays for the mutex, which is held for microseconds unless
    /// its holder stands still.
    package var mutexLimit = Duration.seconds(5)
    /// For whoever asks on behalf of another machine: how long the slot is kept for what may still run there
    /// when this process dies without a word. Nil: the work dies with the lock, as it does on this machine.
    package var lease: Duration?
    /// Who stands behind the request, where that is not this process. ``description`` is its description.
    package var party: Party?

    /// Whoever runs under the permit gets a secret that proves it; not so a client of an older version.
    package var isProved = true

    package init() {}

    /// Who stands behind it, and why.
    var behind: Party {
        var party = party ?? Party(pid: getpid(), host: LocalHost.name, user: LocalHost.user, description: "")
        party.description = description
        return party
    }
}

/// How a request ended.
package enum Outcome: Sendable {
    case granted(any Grant)
    /// Not to be had at once, and no waiting was asked for.
    case busy(Busy)
    /// Not granted within the limit.
    case timedOut
    /// Somebody took this waiter out with `semq release`.
    case removed(by: String, reason: String)
    /// The waiting task was cancelled.
    case cancelled

    package enum Busy: Sendable {
        case held
        case paused(reason: String, by: String)
        /// As many wait as a queue has room for.
        case full
    }
}

/// Whoever asks may follow what happens meanwhile. Called on the waiting thread, never under the mutex.
package protocol WaitObserver: AnyObject {
    /// The queue file was made by this request: host and absolute path.
    func made(_ place: String, concurrency: Int)
    /// The queue's header had been damaged: its concurrency is 1 until somebody sets it.
    func recovered(_ path: String)
    /// A ticket was drawn, and this process stands in the queue.
    func joined(_ place: any Place)
    /// The head of the queue: the grant is near.
    func isNext(_ place: any Place)
    /// The wait ended without a grant: what was prepared for it is of no use any more.
    func left()
    /// A look at the queue.
    /// - Returns: when to look again at the latest; nil leaves it to the queue.
    func look(_ place: any Place) -> Duration?
    /// The same while waiting in several queues at once.
    func look(_ semaphores: [any NamedSemaphore]) -> Duration?
    /// A wait in the kernel begins or ends.
    func blocks(_ begins: Bool)
    /// Whether the place was given up meanwhile (a stop from the terminal) and must be taken anew.
    func lostPlace() -> Bool
    /// For two seconds and more somebody holds the mutex and stands still.
    func stuck(_ path: String, by who: String)
    /// Something that people should know: a connection lost or found again.
    func tells(_ news: String)
    /// A waiter that is told to die can say goodbye by writing to this descriptor; −1 is none.
    func speaks(to descriptor: Int32)
    /// Whether looks each second are shown.
    var showsEachSecond: Bool { get }
    /// A record that may have been a remote holder's is damaged: nobody is granted for this long.
    func holdsOff(_ path: String, for duration: Duration)
    /// For a request with a lease that has waited: the slot is at hand. Whether it is still wanted, before it
    /// becomes a permit; if not, the slot goes on to the next, and this waiter stands aside.
    func confirms() -> Bool
    /// Where this waiter is to stand. Asked again after each wait in the kernel; the alarm's `nudge()` ends one.
    func standing() -> Standing
}

/// Where a waiter stands.
package enum Standing: Equatable, Sendable {
    case inLine
    /// Keeps its ticket, is seen as stopped, and is in nobody's way.
    case aside
}

extension WaitObserver {
    package func made(_ place: String, concurrency: Int) {}
    package func recovered(_ path: String) {}
    package func joined(_ place: any Place) {}
    package func isNext(_ place: any Place) {}
    package func left() {}
    package func look(_ place: any Place) -> Duration? { nil }
    package func look(_ semaphores: [any NamedSemaphore]) -> Duration? { nil }
    package func blocks(_ begins: Bool) {}
    package func lostPlace() -> Bool { false }
    package func stuck(_ path: String, by who: String) {}
    package func tells(_ news: String) {}
    package func speaks(to descriptor: Int32) {}
    package var showsEachSecond: Bool { false }
    package func holdsOff(_ path: String, for duration: Duration) {}
    package func confirms() -> Bool { true }
    package func standing() -> Standing { .inLine }
}

/// Follows nothing.
package final class Unobserved: WaitObserver {
    package init() {}
}

extension Request {
    package static let concurrencies = 1...LockSpace.maximumConcurrency
    package static let concurrencyWanted = "a number from 1 to \(LockSpace.maximumConcurrency)"
}
