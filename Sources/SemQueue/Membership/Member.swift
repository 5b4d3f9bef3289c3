internal import Glibc

/// One request's dealings with one queue file: joins, waits, claims. ``Turn`` decides, this does.
///
/// Two descriptions are open: `own` carries ticket and slot, and goes to whoever does the work;
/// `gate` carries the mutex and the short waits, and never leaves this process.
struct Member {
    let path: String
    let request: Request
    let alarm: Alarm
    let observer: any WaitObserver
    let deadline: Duration?

    let file: QueueFile
    let own: Description
    let gate: Gate
    /// The path named another file, or none, before this one was open twice.
    private let isStale: Bool
    private let party: Party
    private let history: History
    private let clock: BootTime.Clock
    let news = News()
    private let unwritten = Unwritten()

    /// What was found under the mutex and is told after it: nothing is printed under the mutex.
    final class News {
        private var untold: [() -> Void] = []
        func tell(_ item: @escaping () -> Void) { untold.append(item) }
        func spread() {
            for item in untold { item() }
            untold = []
        }
    }

    /// What could not be written down, from one look to the next.
    private final class Unwritten {
        var tombstones = Tombstones.Unwritten()
        /// A header that was recovered.
        var header: Header?
        /// Why the record of this waiter could not be written, and whether people know.
        var placeError: Int32?
        var isPlaceTold = false
    }

    /// A new member of the queue at `path`, or an outcome without one.
    /// - Throws: ``SemaphoreError``; nothing is held and nothing left behind then.
    static func acquire(
        _ path: String, _ request: Request, alarm: Alarm, observer: any WaitObserver, keeping kept: KeptOpen? = nil,
        clock: @escaping BootTime.Clock = BootTime.clock
    ) throws -> Outcome {
        let deadline = request.limit.flatMap { $0 == .zero ? nil : Duration.monotonic() + $0 }
        var place: String?
        while true {
            do {
                let member = try Member(path, place, request, alarm, observer, deadline, kept, clock)
                place = request.isConfined ? nil : member.file.place
                do {
                    let outcome = try member.run()
                    kept?.keep(member.gate, of: member.file)
                    return outcome
                } catch is Replaced {
                    try member.checkFolder()
                    if let outcome = try member.outlastHolders() { return outcome }
                    // It may have been moved during that.
                    try member.checkFolder()
                }
            } catch let failure as Gate.Failure {
                return failure == .interrupted ? .cancelled : .timedOut
            }
        }
    }

    /// Which queue it is; the queue is made if it is missing.
    static func identify(
        _ path: String, _ request: Request, alarm: Alarm, observer: any WaitObserver
    ) throws -> QueueIdentity {
        var place: String?
        while true {
            let member = try Member(path, place, request, alarm, observer, nil, nil, BootTime.clock)
            place = request.isConfined ? nil : member.file.place
            if !member.isStale, let header = Book.header(from: member.own) {
                return QueueIdentity(queue: header.queue, member.file.identity)
            }
            do {
                return QueueIdentity(queue: try member.locked { try member.openBook() }.queue, member.file.identity)
            } catch is Replaced { try member.checkFolder() }
        }
    }

    /// The path names another file now: begin anew there, when those who hold this one have ended.
    struct Replaced: Error {}

    /// Somebody has taken this waiter out of the queue.
    struct Removal: Error { var note: Note }

    private init(
        _ path: String, _ place: String?, _ request: Request, _ alarm: Alarm, _ observer: any WaitObserver,
        _ deadline: Duration?,
        _ kept: KeptOpen?, _ clock: @escaping BootTime.Clock
    ) throws {
        self.path = path
        self.clock = clock
        self.request = request
        self.alarm = alarm
        self.observer = observer
        self.deadline = deadline
        if let (file, own) = kept?.takeOwn() {
            (self.file, self.own) = (file, own)
        } else {
            let options = QueueFile.Options(
                create: !request.existing, absence: request.absence, anyFilesystem: request.anyFilesystem, place: place,
                confinedTo: request.confinedTo)
            (file, own, _) = try QueueFile.open(path, options)
        }
        do {
            gate = try kept?.takeGate(of: file) ?? Gate(description: file.reopen())
            isStale = false
        } catch let error as SemaphoreError where error.systemError == ESTALE || error.systemError == ENOENT {
            // Nothing is ever locked in it but its mutex, so one description will do.
            gate = Gate(description: own)
            isStale = true
        }
        history = kept?.history ?? History(of: file.place)
        party = request.behind
    }

    private func run() throws -> Outcome {
        if let lease = request.lease { try admitRemote(lease) }
        var free: Int?
        while true {
            switch try enter(free) {
            case .granted(let grant): return .granted(grant)
            case .refused(let busy): return .busy(busy)
            case .waits(let ticket, let record):
                do {
                    return try wait(ticket, record)
                } catch let removal as Removal {
                    return .removed(by: removal.note.by, reason: removal.note.reason)
                }
            case .crowded(let ticket):
                // A search through thousands of lines would hold everybody up under the mutex.
                free = book.freeWaiterLine(for: ticket)
                if free == nil { return .busy(.full) }
            }
        }
    }

    // MARK: joining

    private enum Entry {
        case granted(LocalGrant)
        case refused(Outcome.Busy)
        case waits(Ticket, WaiterLine)
        /// No line for a record is free near the ticket's own.
        case crowded(Ticket)
    }

    /// Before anything is granted to another host, the queue says so, where a crash of this one can't undo it.
    private func admitRemote(_ lease: Duration) throws {
        guard lease >= .milliseconds(1), lease <= Lease.longest else {
            throw SemaphoreError(
                .usage, "\(path): a lease of \(lease): wants at most \(Lease.longest.components.seconds) seconds")
        }
        let isNew = try locked {
            var header = try openBook()
            try check(header)
            guard try book.admitRemote(to: 0, &header) else { return false }
            guard QueueFile.write(header, to: own) else { throw book.metadataFailed() }
            return true
        }
        guard !isNew || fdatasync(own.descriptor) == 0 else { throw book.metadataFailed() }
    }

    /// - Parameter free: a line for the record that was free a moment ago.
    private func enter(_ free: Int?) throws -> Entry {
        try locked {
            var header = try openBook()
            try check(header)
            let named = Notes.numbers(in: own) + header.passed.map(\.number)
            func nextTicket(_ number: Int64) -> Ticket {
                Ticket(priority: request.priority, number: Numbering.next(after: number, avoiding: named))
            }
            var ticket = nextTicket(header.lastTicket)
            // Drawn by one who couldn't write the header, or before it was lost; that one is ahead. Or what that one has
            // left still bears it, and we might be taken for it.
            while own.isAlive(ticket) || book.isNamed(ticket) { ticket = nextTicket(ticket.number) }
            var sight = settledSight(&header, from: ticket, horizon: 1)
            let stopped = sight.hasRoom ? stoppedOnes(from: sight.ahead.first, header) : []
            if !stopped.isEmpty { sight = settledSight(&header, from: ticket, horizon: 1, past: stopped) }
            if sight.ahead.isEmpty, sight.hasRoom {
                // Whoever holds directly still draws a ticket.
                header.lastTicket = ticket.number
                unwritten.header?.lastTicket = ticket.number
                do {
                    if lock(sight.firstFree), let grant = try record(sight.firstFree, ticket, &header, at: .now()) {
                        tellPassed(stopped)
                        return .granted(grant)
                    }
                } catch is Unheld {}
            }
            if request.limit == .zero {
                if let pause = header.pause { return .refused(.paused(reason: pause.reason, by: pause.by)) }
                return .refused(.held)
            }
            let found = free.flatMap { book.isFreeWaiterLine($0, for: ticket) ? $0 : nil }
            guard let line = found ?? book.freeWaiterLine(for: ticket, of: WaiterLine.near) else {
                return .crowded(ticket)
            }
            // The record before the lock: who is seen waiting is known.
            var place: WaiterLine
            repeat {
                if own.isAlive(ticket) { ticket = nextTicket(ticket.number) }
                let record = WaiterRecord(
                    queue: header.queue, ticket: ticket, since: .now(), party: party,
                    agent: request.lease == nil ? nil : getpid())
                place = WaiterLine(record, at: line)
                if !place.write(to: book) { unwritten.placeError = errno }
                // Before the ticket lives: whoever dies in between has skipped a number, and nobody draws it once more.
                header.lastTicket = ticket.number
                unwritten.header?.lastTicket = ticket.number
                QueueFile.write(header, to: own)
            } while !own.tryLock(.write, LockSpace.placeAndMember(ticket))
            return .waits(ticket, place)
        }
    }

    /// Writes the record of one who waits again where it was damaged, and says once if it can't be written.
    func mend(_ place: inout WaiterLine) {
        unwritten.placeError = place.mend(in: book) ? nil : errno
        guard let error = unwritten.placeError, !unwritten.isPlaceTold else { return }
        unwritten.isPlaceTold = true
        observer.tells(
            "\(path): can't write who waits into the queue file: \(String(cString: strerror(error))); "
                + "the place in line counts all the same")
    }

    var book: Book { Book(file: file, description: own, clock: clock) }

    /// The header, made or recovered where it must be. Under the mutex.
    func openBook(isMember: Bool = false) throws -> Header {
        let found = try book.header(concurrency: request.concurrency, isMember: isMember, unwritten: unwritten.header)
        let wasUnwritten = unwritten.header != nil
        unwritten.header = nil
        switch found {
        case .sound(let header): return header
        case .made(let header):
            news.tell { [observer, file] in
                observer.made("\(LocalHost.name):\(QueueStatus.absolute(file.place))", concurrency: header.concurrency)
            }
            tellHoldoff(header)
            return header
        case .unwritten(let header) where wasUnwritten:
            unwritten.header = header
            return header
        case .recovered(let header), .unwritten(let header):
            if case .unwritten = found { unwritten.header = header }
            news.tell { [observer, path] in observer.recovered(path) }
            tellHoldoff(header)
            return header
        }
    }

    /// The header as it was read; nil where it can't be. Somebody could write it, and what was recovered before is of no use.
    func saw(_ header: Header?) -> Header? {
        if header != nil { unwritten.header = nil }
        return header
    }

    private func tellHoldoff(_ header: Header) {
        guard header.holdoff != nil else { return }
        news.tell { [observer, path] in observer.holdsOff(path, for: Lease.longest) }
    }

    private func check(_ header: Header) throws(SemaphoreError) {
        try header.check(asked: request.concurrency, at: path)
    }

    // MARK: under the mutex

    /// - Throws: ``Replaced``, or ``Gate/Failure``, or what the body throws.
    func locked<Result>(_ body: () throws -> Result) throws -> Result {
        try underMutex {
            guard !isStale, file.isInPlace(through: own) else { throw Replaced() }
            return try body()
        }
    }

    /// The same whatever the path names by now.
    func underMutex<Result>(_ body: () throws -> Result) throws -> Result {
        let bound = request.limit == .zero ? Duration.monotonic() + request.mutexLimit : deadline
        defer { news.spread() }
        var seen: Int32?
        func stuck() {
            let owner = LockOwner.ofMutex(path)
            defer { seen = owner?.pid ?? 0 }
            // One that isn't stopped may be one of many that take turns.
            guard owner?.isStopped == true || seen == owner?.pid ?? 0 else { return }
            observer.stuck(path, by: LockOwner.named(owner))
        }
        return try gate.locked(alarm: alarm, deadline: bound, stuck: stuck, body)
    }

    /// What the queue looks like, and what of it should be written down.
    /// - Parameter stopped: of those ahead, the ones that are looked past.
    func sight(
        _ header: Header?, from ticket: Ticket, through view: Description, horizon: Int = Turn.horizon,
        past stopped: [Ticket] = []
    ) -> (Turn.Sight, due: [Tombstones.Change]) {
        var sight = Turn.Sight(
            concurrency: header?.concurrency ?? 1, paused: header?.pause != nil, held: [], ahead: [],
            lastToken: header?.lastToken ?? 0)
        var due: [Tombstones.Change] = []
        // Each question is a walk over all locks on the file: first whether there is anybody at all.
        let isAlone = view.conflict(with: .read, in: LockSpace.slotsAndAhead(of: ticket)) == nil
        if !isAlone { sight.held = view.heldSlots() }
        if let header, header.remote > 0 {
            let tombstones = book.tombstones(header, held: sight.held, unwritten: unwritten.tombstones)
            (sight.kept, sight.keptFor) = (tombstones.kept.map(\.slot), tombstones.keptFor)
            (sight.isHeldOff, due) = (tombstones.holdoff != nil, tombstones.due)
        }
        if !isAlone {
            sight.ahead = view.waitingAhead(
                of: ticket, except: (header?.passed ?? []) + stopped, limit: sight.hasRoom ? horizon : 1)
            sight.isFarBack = !sight.ahead.isEmpty && view.isAnybody(ahead: ticket, by: Turn.horizon)
        }
        return (sight, due)
    }

    /// Under the mutex: what the queue looks like, with what had to be written down.
    func settledSight(
        _ header: inout Header, from ticket: Ticket, through view: Description? = nil, horizon: Int = Turn.horizon,
        past stopped: [Ticket] = []
    ) -> Turn.Sight {
        let (sight, due) = sight(
            header, from: ticket, through: view ?? gate.description, horizon: horizon, past: stopped)
        guard !due.isEmpty else { return sight }
        let holdoff = header.holdoff
        for record in book.settle(due, &header, &unwritten.tombstones) {
            guard let lost = record.lastHolder else { continue }
            history.append(.lost, at: .now(), History.Tail(lost, slot: record.slot))
        }
        if header.holdoff != holdoff { tellHoldoff(header) }
        return sight
    }

    /// Locks a slot.
    /// - Returns: false if the kernel says that it is not free after all.
    func lock(_ slot: Int) -> Bool {
        // A waiter that was stopped with its read lock on the doorbell must not keep us out. Whoever holds takes the
        // doorbell later (`LocalGrant.loss()`).
        own.tryLock(.write, LockSpace.holdAndDoorbell(slot)) || own.tryLock(.write, LockSpace.hold(slot))
    }

    /// Whether a slot that was locked just now, under this mutex, is locked still, as the others see it: through another
    /// description. Only somebody who has a duplicate of ours, or a signal's handler, could have unlocked it.
    private func stands(_ slot: Int) -> Bool {
        gate.description.conflict(with: .read, in: LockSpace.hold(slot)) != nil
    }

    /// A slot that was locked isn't held after all: the place in line was given up for nothing.
    struct Unheld: Error {}

    /// Makes a slot that is locked a permit.
    /// - Returns: nil if its record says that it must be kept; it is given back then.
    /// - Throws: ``SemaphoreError`` where a remote member's permit can't be written down; all is given back then.
    ///   ``Unheld`` where the lock doesn't stand; what is left of it is given back then.
    func record(
        _ slot: Int, _ ticket: Ticket, _ header: inout Header, at now: Timestamp
    ) throws -> LocalGrant? {
        let line = QueueFile.slotLines.lowerBound + slot
        let last = SlotRecord.taken(in: QueueFile.readLines(line..<(line + 1), from: own))
        if slot >= header.remote, last?.lastHolder?.isRemote ?? false {
            // The header is an older one: the next look finds what was left here.
            header.remote = slot + 1
            QueueFile.write(header, to: own)
            own.unlock(LockSpace.holdAndDoorbell(slot))
            return nil
        }
        if request.lease != nil {
            do { _ = try book.admitRemote(to: slot, &header) } catch { throw giveUp(error, slot, header) }
        }
        if let lost = last?.holder { history.append(.lost, at: now, History.Tail(lost, slot: slot)) }
        header.drew(ticket.number)
        header.lastToken = header.nextToken(at: now)
        header.holdoff = nil
        let holder = holder(ticket, token: header.lastToken, since: now)
        // Before the ticket lives: whoever dies in between has skipped a number, and nobody draws it once more.
        let isWritten = QueueFile.write(header, to: own)
        // Locked for reading, the place is given up (which wakes the next one) and the ticket lives on.
        _ = own.tryLock(.read, LockSpace.placeAndMember(ticket))
        let isRecorded = QueueFile.write(
            SlotRecord(queue: header.queue, slot: slot, holder: holder).line, at: line, to: own)
        if request.lease != nil, !isWritten || !isRecorded { throw giveUp(book.metadataFailed(), slot, header) }
        guard stands(slot) else {
            giveUp(slot, header)
            throw Unheld()
        }
        let told = History.Tail(holder, slot: slot)
        history.append(.granted, at: now, told)
        return LocalGrant(
            file: file, description: own, queue: header.queue, path: path, holder: holder, slot: slot, history: history,
            told: told)
    }

    /// Gives everything back where a permit can't be written down.
    private func giveUp(_ error: SemaphoreError, _ slot: Int, _ header: Header) -> SemaphoreError {
        giveUp(slot, header)
        return error
    }

    private func giveUp(_ slot: Int, _ header: Header) {
        let free = SlotRecord(queue: header.queue, slot: slot, state: .free)
        QueueFile.write(free.line, at: QueueFile.slotLines.lowerBound + slot, to: own)
        own.unlockAll()
    }

    func holder(_ ticket: Ticket, token: Int64, since: Timestamp) -> SlotRecord.Holder {
        var holder = SlotRecord.Holder(ticket: ticket, token: token, since: since, party: party)
        holder.isProved = request.isProved
        guard let lease = request.lease else { return holder }
        holder.lease = .milliseconds(lease.milliseconds)
        holder.expires = Timestamp(Timestamp.now().microseconds + lease.milliseconds * 1000)
        return holder
    }
}

extension Header {
    /// - Throws: ``SemaphoreError`` where an acquirer's concurrency contradicts the one that the queue was made with.
    func check(asked: Int?, at path: String) throws(SemaphoreError) {
        guard let asked, origin == .created, asked != concurrency else { return }
        throw SemaphoreError(
            .usage,
            "\(path): this queue was made with concurrency \(concurrency), not \(asked); "
                + "leave --concurrency out, or change it for all: semq set \(path) --concurrency \(asked)")
    }
}
