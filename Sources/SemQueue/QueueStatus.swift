internal import Glibc

/// What a queue looked like at one moment. Holders and waiters are read from the kernel's locks;
/// who they are, from the records.
public struct QueueStatus: Hashable, Sendable {
    public struct Holder: Hashable, Sendable {
        public var slot: Int
        public var ticket: Ticket
        /// The fencing token.
        public var token: Int64
        public var since: Timestamp
        public var party: Party
        /// For a holder on another host: when its lease ends unless it is heard of again. Nil for all others.
        public var leaseExpires: Timestamp?
        /// It holds for somebody on another host, who isn't heard of just now, or was lost without a word. What runs
        /// under the permit there may still run, so the slot is kept until ``leaseExpires``.
        public var isCutOff = false
        /// Stopped (Ctrl-Z): it holds until it goes on and ends. Of a holder on another host this isn't known; there it
        /// says that its agent stands still, which would have given the slot back by now.
        public var isStopped = false
        /// Its `semq` and the guardian of that were both killed: what they have started holds until it ends, and there is
        /// nobody who could be told to end it. Known of those that can be looked at, on the queue's own host.
        public var isOrphaned = false
        /// What its guardian tells of the turn, such as what still runs of a command that has ended; nil: nothing.
        public var remark: String?
        /// Who runs under this turn, from inside its command.
        public var nested: [Nested] = []
    }

    /// An acquire inside of a command that holds the queue already.
    public struct Nested: Hashable, Sendable {
        public var since: Timestamp
        public var party: Party
    }

    public struct Waiter: Hashable, Sendable {
        public var ticket: Ticket
        public var since: Timestamp
        public var party: Party
        /// Stopped (Ctrl-Z), or did not move when it was its turn: others go past it, and it keeps its place.
        public var isStopped: Bool
        /// It waits for somebody on another host, who isn't heard of just now; `isStopped` says so too.
        public var isCutOff: Bool
    }

    /// The path as it was asked for.
    public var semaphore: String
    public var concurrency: Int
    /// The queue's record was damaged: one at a time until somebody sets the concurrency.
    public var isRecovered: Bool
    /// Who paused the queue and why, or nil.
    public var paused: Pause?
    /// Nobody is granted until then, because the record of a holder on another host may have been lost; or nil.
    public var heldOffUntil: Timestamp?
    /// Those who hold a slot, by slot, and those whose slots are kept. One whose record is damaged is listed as
    /// unknown.
    public var holders: [Holder]
    /// Those who wait, in their order.
    public var waiting: [Waiter]

    public struct Pause: Hashable, Sendable {
        public var by: String
        public var since: Timestamp
        public var reason: String
    }
}

extension QueueStatus {
    package static let maximumWaiting = QueueFile.maximumWaiting

    /// Permission to read is enough.
    /// - Throws: ``SemaphoreError`` when there is no such queue, or it can't be read.
    package init(path: String, anyFilesystem: Bool = true) throws {
        let options = QueueFile.Options(create: false, anyFilesystem: anyFilesystem, readOnly: true)
        let (file, description, _) = try QueueFile.open(path, options)
        try Book(file: file, description: description).checkIsQueue()
        self.init(of: file, through: description)
    }

    /// The path from the root, with links resolved.
    package static func absolute(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Takes no lock: what changes meanwhile is seen before or after its change.
    init(
        of file: QueueFile, through description: Description, withWaiting: Bool = true,
        clock: @escaping BootTime.Clock = BootTime.clock
    ) {
        let header = Book.header(from: description)
        semaphore = file.path
        concurrency = header?.concurrency ?? 1
        isRecovered = header?.origin == .recovered
        paused = header?.pause.map { Pause(by: $0.by, since: $0.since, reason: $0.reason) }
        let isRemote = (header?.remote ?? 0) > 0
        holders = description.heldSlots().map { Self.holder(of: $0, description, isRemote: isRemote) }
        let inode = ino_t(file.identity.inode)
        for index in holders.indices {
            let slot = LockSpace.hold(holders[index].slot)
            holders[index].isStopped =
                holders[index].leaseExpires.map { $0.age(at: .now()) > .seconds(1) }
                ?? LockOwner.isStopped(holders[index].party.pid, locking: slot, in: inode)
            holders[index].isOrphaned =
                withWaiting && holders[index].leaseExpires == nil
                && LockOwner.isOrphaned(holders[index].party, locking: slot, in: inode)
        }
        for record in NestedRecord.all(in: description) {
            guard let index = holders.firstIndex(where: { $0.ticket == record.ticket }) else { continue }
            holders[index].nested.append(Nested(since: record.since, party: record.party))
        }
        if let header, isRemote {
            let book = Book(file: file, description: description, clock: clock)
            let tombstones = Self.tombstones(book, header)
            let cutOff = tombstones.kept.map(Holder.init)
            holders.removeAll { holder in cutOff.contains { $0.slot == holder.slot } }
            holders = (holders + cutOff).sorted { $0.slot < $1.slot }
            heldOffUntil = tombstones.holdoff.map(Timestamp.init(after:))
        }
        waiting = withWaiting ? Self.waiting(description, passed: header?.passed ?? [], in: inode) : []
        // Who holds by now waited when it was looked for, or the other way round.
        waiting.removeAll { waiter in holders.contains { $0.ticket == waiter.ticket } }
    }

    private static func holder(of slot: Int, _ description: Description, isRemote: Bool) -> Holder {
        let line = QueueFile.slotLines.lowerBound + slot
        // The lock comes a moment before the record.
        var record: SlotRecord?
        for attempt in 0..<5 {
            record = QueueFile.record(SlotRecord.self, at: line, from: description)
            if let holder = record?.holder {
                var found = Holder(holder, slot: slot)
                found.remark = Remark.on(slot, token: holder.token, in: description)
                return found
            }
            if attempt < 4 { usleep(500) }
        }
        return Holder(
            slot: slot, ticket: Ticket(priority: 0, number: 0), token: 0, since: Timestamp(0),
            party: isRemote && record != nil ? .asked : .unknown)
    }

    private static func tombstones(_ book: Book, _ header: Header) -> Tombstones {
        var found: Tombstones
        var attempts = 0
        repeat {
            if attempts > 0 { usleep(500) }
            found = book.tombstones(header, held: book.description.heldSlots())
            attempts += 1
            // Without the mutex it may be that somebody was just granted.
        } while !found.due.isEmpty && attempts < 4
        return found
    }

    private static func waiting(_ description: Description, passed: [Ticket], in file: ino_t) -> [Waiter] {
        let tickets = description.waiting()
        let records = QueueFile.records(WaiterRecord.self, in: QueueFile.waiterLines, from: description)
            .map(\.record)
        let known = Dictionary(records.map { ($0.ticket, $0) }, uniquingKeysWith: { first, _ in first })
        let active = tickets.map { ticket in
            let isPassed = passed.contains(ticket)
            return known[ticket].map { record in
                let isStopped =
                    isPassed || LockOwner.isStopped(record.process, locking: LockSpace.place(ticket), in: file)
                return Waiter(record, isStopped: isStopped)
            } ?? Waiter(ticket: ticket, since: Timestamp(0), party: .unknown, isStopped: isPassed, isCutOff: false)
        }
        // Alive and not in line: it gave way until it goes on.
        let inLine = Set(tickets)
        let aside = records.filter { !inLine.contains($0.ticket) && description.isAlive($0.ticket) }
            .map { Waiter($0, isStopped: true) }
        return (active + aside).sorted { $0.ticket < $1.ticket }
    }
}

extension QueueStatus.Holder {
    fileprivate init(_ holder: SlotRecord.Holder, slot: Int) {
        self.init(
            slot: slot, ticket: holder.ticket, token: holder.token, since: holder.since, party: holder.party,
            leaseExpires: holder.expires, isCutOff: holder.isSilent)
    }

    fileprivate init(_ kept: Tombstones.Kept) {
        self.init(kept.holder, slot: kept.slot)
        (isCutOff, leaseExpires) = (true, Timestamp(after: kept.rest))
    }
}

extension Timestamp {
    /// For people: as far from now.
    fileprivate init(after duration: Duration) {
        self.init(Timestamp.now().microseconds + duration.nanoseconds / 1000)
    }
}

extension QueueStatus.Waiter {
    fileprivate init(_ record: WaiterRecord, isStopped: Bool) {
        self.init(
            ticket: record.ticket, since: record.since, party: record.party, isStopped: isStopped,
            isCutOff: isStopped && record.isRemote)
    }
}

extension Party {
    /// One that is alive, and whose record is damaged or was never written.
    public static let unknown = Party(pid: 0, host: "?", user: "?", description: "(record unreadable)")

    /// One on another host that is next, and is asked whether it still wants the slot.
    public static let asked = Party(pid: 0, host: "?", user: "?", description: "(the next one is being asked)")
}
