/// A queue that can be waited in, on this host or another.
package protocol NamedSemaphore: Sendable {
    /// As it was named.
    var name: String { get }

    /// Which queue it is; the queue is made if it is missing.
    func identify(_ request: Request, alarm: Alarm, observer: any WaitObserver) throws -> QueueIdentity

    /// The same where it can be told without delay and without making anything, else nil.
    var identityAtHand: QueueIdentity? { get }

    /// Makes a probe to be seen by other names of the same queue.
    /// - Returns: what keeps it there.
    func place(_ probe: QueueProbe) throws -> any Sendable

    /// Whether a probe that was placed by another name is seen by this one.
    func sees(_ probe: QueueProbe) throws -> Bool

    /// Waits for a permit.
    /// - Throws: ``SemaphoreError``; nothing is held and nothing left behind then.
    func acquire(_ request: Request, alarm: Alarm, observer: any WaitObserver) throws -> Outcome

    /// Who holds and who waits.
    func status() throws -> QueueStatus

    /// The same where it can be told without delay, else nil.
    var statusAtHand: QueueStatus? { get }

    /// For changing the queue, or ending somebody's turn.
    /// - Parameter create: the queue is made if it is missing.
    /// - Throws: ``SemaphoreError``, here or when it is used.
    func administration(create: Bool, anyFilesystem: Bool) throws -> any QueueAdministration

    /// What happened at the queue: lines of JSON, oldest first.
    func history() throws -> [String]
}

/// A queue file on this host.
package struct LocalSemaphore: NamedSemaphore {
    package let name: String

    package init(_ path: String) { name = path }

    package func identify(_ request: Request, alarm: Alarm, observer: any WaitObserver) throws -> QueueIdentity {
        try Member.identify(name, request, alarm: alarm, observer: observer)
    }

    package var identityAtHand: QueueIdentity? {
        let options = QueueFile.Options(create: false, anyFilesystem: true, readOnly: true)
        guard let (file, description, _) = try? QueueFile.open(name, options),
            let header = Book.header(from: description)
        else { return nil }
        return QueueIdentity(queue: header.queue, file.identity)
    }

    package func place(_ probe: QueueProbe) throws -> any Sendable { try probe.place(on: name) }

    package func sees(_ probe: QueueProbe) throws -> Bool {
        try QueueProbe.look(in: probe.area, of: name) == probe.offset
    }

    package func acquire(_ request: Request, alarm: Alarm, observer: any WaitObserver) throws -> Outcome {
        try Member.acquire(name, request, alarm: alarm, observer: observer)
    }

    package func status() throws -> QueueStatus { try QueueStatus(path: name) }

    package var statusAtHand: QueueStatus? { try? status() }

    package func administration(create: Bool, anyFilesystem: Bool) throws -> any QueueAdministration {
        try Administration(name, create: create, anyFilesystem: anyFilesystem)
    }

    package func history() throws -> [String] {
        // Says what is wrong with a queue that isn't one.
        _ = try status()
        return History(of: name).lines()
    }

    /// Why its history can't be read, or nil.
    package var historyFlaw: String? { History(of: name).flaw(reading: true) }

    /// A permit of an ancestor's on this queue that still stands.
    package func permit(among held: Nesting, _ request: Request) throws -> Nesting.Found? {
        var wanted = Nesting.Wanted()
        wanted.anyFilesystem = request.anyFilesystem
        wanted.concurrency = request.concurrency
        wanted.party = request.behind
        return try held.permit(on: name, wanted)
    }
}
