/// A permit: a slot that is held, on this host or another.
package protocol Grant: AnyObject, Sendable {
    /// The semaphore as it was named.
    var path: String { get }
    /// The queue's random name, the same by whatever path or host it is reached.
    var queue: UInt64 { get }
    var ticket: Ticket { get }
    var slot: Int { get }
    /// The fencing token.
    var token: Int64 { get }
    /// The descriptor to hand to a command, so that the lock follows the work; nil where there is none on this host.
    var descriptor: Int32? { get }

    /// Until when, on CLOCK_BOOTTIME, something may be started under the permit if nothing more is heard; nil: for good.
    var startsUntil: Duration? { get }
    /// Until when, on CLOCK_BOOTTIME, the permit stands if nothing more is heard: from then on what runs under it is asked
    /// to end; nil: for good, or a loss ends nothing.
    var standsUntil: Duration? { get }
    /// When, on CLOCK_BOOTTIME, all that runs under the permit is to be killed if nothing more is heard, whatever
    /// else has ended the turn before; nil: never.
    var killBy: Duration? { get }

    /// Why the permit no longer stands, or nil. To be asked about once a second.
    func loss() -> PermitLoss?
    /// What has happened to the permit since the last call that people should know.
    func news() -> [String]

    /// Keeps the permit from now on, in this process, until it is let alone or released.
    /// - Parameter changed: called on some thread when there may be a loss or news.
    func keep(_ changed: @escaping @Sendable () -> Void) throws(SemaphoreError)
    /// Stops keeping: another process is to go on.
    func letAlone()
    /// Begins to keep a permit whose keeper was killed.
    func takeOver()

    /// Tells those who look at the queue what its description doesn't say, such as what of the command still runs.
    func remark(_ text: String)
    /// The host that keeps it, as a word of ``HostIdentity``; nil: this one.
    var host: String? { get }
    /// The secret that proves that a process stands under the permit, for its environment; made at the first call.
    /// Nil where an older `semq` on another host keeps it.
    func prove() -> String?

    /// Renders what a release will write, and drops it.
    func rehearseRelease()
    /// Gives the permit back, in whichever process it is called.
    /// - Parameter mayBeDone: somebody who was killed may have done it already.
    func release(mayBeDone: Bool)
}

extension Grant {
    package func release() { release(mayBeDone: false) }

    package var host: String? { nil }

    // A permit on this host is kept by the kernel.
    package var startsUntil: Duration? { standsUntil }
    package var standsUntil: Duration? { nil }
    package var killBy: Duration? { nil }
    package func news() -> [String] { [] }
    package func remark(_ text: String) {}
    package func keep(_ changed: @escaping @Sendable () -> Void) throws(SemaphoreError) {}
    package func letAlone() {}
    package func takeOver() {}
}

/// Why a permit ended before its holder wanted it to.
package enum PermitLoss: Equatable, Sendable {
    /// The path no longer names the queue file: others may hold what we hold.
    case fileReplaced
    /// Somebody ended it with `semq release`.
    case released(by: String, reason: String, grace: Duration)
    /// The host that keeps it can't be reached, or no longer knows of it.
    case cutOff(why: String, grace: Duration)

    /// Between SIGTERM and SIGKILL where the file is gone: whoever comes anew doesn't wait for us.
    package static let graceOfReplaced = Duration.seconds(5)
}
