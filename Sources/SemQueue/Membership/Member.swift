internal import CSemQueue
internal import Glibc

/// One request's dealings with one queue file: joins, waits, claims. ``Turn`` decides, this does.
///
/// Two descriptions are open: `own` carries ticket and slot, and goes to whoever does the work;
/// `gate` carries the mutex and the short waits, and never leaves this process.
struct Member {
    private let path: String
    private let request: Request
    private let alarm: Alarm
    private let observer: any WaitObserver
    private let deadline: Duration?

    private let file: QueueFile
    private let own: Description
    private let gate: Gate
    private let made: Bool
    private let party: Party
    private let history: History
    private let clock: BootTime.Clock
    private let news = News()
    private let unwritten = Unwritten()

    /// What was found under the mutex and is told after it: nothing is printed under the mutex.
    private final class News {
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
    }

    /// A new member of the queue at `path`, or an outcome without one.
    /// - Throws: ``SemaphoreError``; nothing is held and nothing left behind then.
    static func acquire(
        _ path: String, _ request: Request, alarm: Alarm, observer: any WaitObserver, keeping kept: KeptOpen? = nil,
        clock: @escaping BootTime.Clock = BootTime.clock
    ) throws -> Outcome {
        let deadline = request.limit.flatMap { $0 == .zero ? nil : Duration.monotonic() + $0 }
        while true {
            do {
                let member = try Member(path, request, alarm, observer, deadline, kept, clock)
                let outcome = try member.run()
                kept?.keep(member.gate, of: member.file)
                return outcome
            } catch let error as SemaphoreError where error.systemError == ESTALE {
                continue
            } catch is Replaced {
                continue
            } catch let failure as Gate.Failure {
                return failure == .interrupted ? .cancelled : .timedOut
            }
        }
    }

    /// The queue's random name; the queue is made if it is missing.
    static func identify(
        _ path: String, _ request: Request, alarm: Alarm, observer: any WaitObserver
    ) throws -> UInt64 {
        let member = try Member(path, request, alarm, observer, nil, nil, BootTime.clock)
        if let header = Book.header(from: member.own) { return header.queue }
        return try member.locked { try member.openBook() }.queue
    }

    /// The path names another file now: begin anew there.
    private struct Replaced: Error {}

    private init(
        _ path: String, _ request: Request, _ alarm: Alarm, _ observer: any WaitObserver, _ deadline: Duration?,
        _ kept: KeptOpen?, _ clock: @escaping BootTime.Clock
    ) throws {
        self.path = path
        self.clock = clock
        self.request = request
        self.alarm = alarm
        self.observer = observer
        self.deadline = deadline
        if let (file, own) = kept?.takeOwn() {
            (self.file, self.own, made) = (file, own, false)
        } else {
            let options = QueueFile.Options(create: !request.existing, anyFilesystem: request.anyFilesystem)
            (file, own, made) = try QueueFile.open(path, options)
        }
        gate = try kept?.takeGate(of: file) ?? Gate(description: file.reopen())
        history = kept?.history ?? History(of: path)
        var party = request.party ?? Party(pid: getpid(), host: LocalHost.name, user: LocalHost.user, description: "")
        party.description = request.description
        self.party = party
    }

    private func run() throws -> Outcome {
        if let lease = request.lease { try admitRemote(lease) }
        switch try enter() {
        case .granted(let grant): return .granted(grant)
        case .refused(let busy): return .busy(busy)
        case .waits(let ticket, let line): return try wait(ticket, line)
        }
    }

    // MARK: joining

    private enum Entry {
        case granted(LocalGrant)
        case refused(Outcome.Busy)
        case waits(Ticket, line: Int)
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

    private func enter() throws -> Entry {
        try locked {
            var header = try openBook()
            try check(header)
            var ticket = Ticket(priority: request.priority, number: header.lastTicket + 1)
            let sight = settledSight(&header, from: ticket)
            if sight.ahead.isEmpty, sight.hasRoom {
                // Whoever holds directly still draws a ticket; a living duplicate can only be left
                // from before the header was lost.
                while own.isAlive(ticket) { ticket = ticket.next }
                if lock(sight.firstFree), let grant = try record(sight.firstFree, ticket, &header, at: .now()) {
                    return .granted(grant)
                }
            }
            if request.limit == .zero {
                if let pause = header.pause { return .refused(.paused(reason: pause.reason, by: pause.by)) }
                return .refused(.held)
            }
            guard let line = book.freeWaiterLine(for: ticket) else { return .refused(.full) }
            // The record before the lock: who is seen waiting is known.
            repeat {
                if own.isAlive(ticket) { ticket = ticket.next }
                let record = WaiterRecord(queue: header.queue, ticket: ticket, since: .now(), party: party)
                QueueFile.write(record.line, at: line, to: own)
            } while !own.tryLock(.write, LockSpace.placeAndMember(ticket))
            header.lastTicket = ticket.number
            QueueFile.write(header, to: own)
            return .waits(ticket, line: line)
        }
    }

    private var book: Book { Book(file: file, description: own, made: made, clock: clock) }

    /// The header, made or recovered where it must be. Under the mutex.
    private func openBook(isMember: Bool = false) throws -> Header {
        switch try book.header(concurrency: request.concurrency, isMember: isMember) {
        case .sound(let header): return header
        case .made(let header):
            news.tell { [observer, path] in
                observer.made("\(LocalHost.name):\(QueueStatus.absolute(path))", concurrency: header.concurrency)
            }
            tellHoldoff(header)
            return header
        case .recovered(let header):
            news.tell { [observer, path] in observer.recovered(path) }
            tellHoldoff(header)
            return header
        }
    }

    private func tellHoldoff(_ header: Header) {
        guard header.holdoff != nil else { return }
        news.tell { [observer, path] in observer.holdsOff(path, for: Lease.longest) }
    }

    private func check(_ header: Header) throws(SemaphoreError) {
        guard let asked = request.concurrency, header.origin == .created, asked != header.concurrency else { return }
        throw SemaphoreError(
            .usage,
            "\(path): this queue was made with concurrency \(header.concurrency), not \(asked); "
                + "leave --concurrency out, or change it for all: semq set \(path) --concurrency \(asked)")
    }

    // MARK: waiting

    private func wait(_ ticket: Ticket, _ line: Int) throws -> Outcome {
        // Explicitly, because a process forked meanwhile may have the description too.
        var granted = false
        defer {
            QueueFile.write(Book.blank, at: line, to: own)
            if !granted {
                own.unlockAll()
                observer.left()
            }
        }
        let place = LocalPlace(ticket, file: file, own: own, gate: gate)
        observer.joined(place)
        var turn = Turn()
        let slots = SlotWatch(gate)
        var stand = Stand.unknown
        var isReady = false
        var isAside = false
        var offer: Offer?
        var nextInspection = Duration.monotonic() + Self.inspects
        while true {
            let now = Duration.monotonic()
            if alarm.isRung { return .cancelled }
            if let deadline, now >= deadline { return .timedOut }
            if observer.lostPlace() {
                giveBack(&offer)
                takePlaceAnew(ticket)
            }
            if now >= nextInspection {
                if let note = Notes.forTicket(ticket, in: own) { return .removed(by: note.by, reason: note.reason) }
                guard file.isInPlace() else { throw Replaced() }
                nextInspection = now + Self.inspects
            }
            if observer.standing() == .aside || isUnwanted(&offer) {
                giveBack(&offer)
                if !isAside { giveWay(ticket) }
                (isAside, stand, turn) = (true, .unknown, Turn())
                block(Self.inspects, place) { alarm.sleep($0) }
                continue
            }
            if isAside { takePlaceAnew(ticket) }
            isAside = false
            if let offered = offer {
                // Time has passed if somebody was asked.
                if alarm.isRung { return .cancelled }
                if let grant = try confirm(offered, ticket) {
                    granted = true
                    return .granted(grant)
                }
                giveBack(&offer)
                continue
            }
            let action: Turn.Action
            switch try decide(&turn, stand, ticket, now) {
            case .granted(let grant):
                granted = true
                return .granted(grant)
            case .offered(let slot):
                offer = slot
                continue
            case .look(let seen): action = seen
            }
            switch action {
            case .waitBehind(let next, let lookAfter):
                let cameFree = block(lookAfter, place) { gate.await(LockSpace.place(next), alarm, $0) }
                stand = cameFree ? .unknown : .behind(action)
            case .waitForSlot(let held, let lookAfter):
                let isNew = stand != .next
                if !isNew, !isReady {
                    observer.isNext(place)
                    rehearse(ticket)
                    isReady = true
                }
                stand = .next
                offer = block(isNew ? min(lookAfter, Self.settles) : lookAfter, place) {
                    if held == [0] {
                        let isOurs = own.lock(.write, LockSpace.holdAndDoorbell(0), alarm, $0)
                        return isOurs ? Offer(slot: 0, since: .now()) : nil
                    }
                    held.isEmpty ? alarm.sleep($0) : slots.await(held, alarm, $0)
                    return nil
                }
            case .claim:
                // Seen free and yet not to be had: somebody is just changing it.
                alarm.sleep(.milliseconds(1))
            }
        }
    }

    /// What a waiter knows from its last look.
    private enum Stand: Equatable {
        case unknown
        /// It was to wait behind another, which is still there.
        case behind(Turn.Action)
        case next
    }

    private enum Decision {
        case granted(LocalGrant)
        /// Whether it is still wanted must be asked before it is taken.
        case offered(Offer)
        case look(Turn.Action)
    }

    /// A slot that this waiter has locked, and that is no permit yet.
    private struct Offer {
        var slot: Int
        var since: Timestamp
        /// Who was passed for it.
        var past: [Ticket] = []
    }

    private func decide(
        _ turn: inout Turn, _ stand: Stand, _ ticket: Ticket, _ now: Duration
    ) throws -> Decision {
        switch stand {
        case .behind(let action):
            // While no slot is free it does not matter who is ahead, which costs a look at every lock
            // on the file: with a thousand waiters that is most of what an idle queue costs.
            let header = Book.header(from: own)
            let isFull = header?.pause != nil || !gate.description.hasRoom(concurrency: header?.concurrency ?? 1)
            guard !isFull || isPassed(ticket, header) else {
                turn.sawNoRoom()
                return .look(action)
            }
            fallthrough
        case .unknown:
            let header = Book.header(from: own)
            let (sight, due) = sight(header, from: ticket, through: gate.description)
            let action = turn.look(sight, at: now)
            guard action.isClaim || !due.isEmpty || isPassed(ticket, header) else { return .look(action) }
            fallthrough
        case .next:
            return try locked {
                var header = try openBook(isMember: true)
                if isPassed(ticket, header) {
                    header.passed.removeAll { $0 == ticket }
                    QueueFile.write(header, to: own)
                }
                let sight = settledSight(&header, from: ticket)
                let action = turn.look(sight, at: .monotonic())
                guard case .claim(let slot) = action, !alarm.isRung, lock(slot) else { return .look(action) }
                pass(sight.ahead, &header)
                guard request.lease == nil else {
                    if !sight.ahead.isEmpty { QueueFile.write(header, to: own) }
                    return .offered(Offer(slot: slot, since: .now(), past: sight.ahead))
                }
                return try record(slot, ticket, &header, at: .now()).map(Decision.granted) ?? .look(action)
            }
        }
    }

    /// Asks whether an offer is still wanted, where others than this process stand behind the request.
    private func isUnwanted(_ offer: inout Offer?) -> Bool {
        guard request.lease != nil, offer != nil else { return false }
        defer { offer?.since = .now() }
        return !observer.confirms() || observer.standing() == .aside
    }

    private func giveBack(_ offer: inout Offer?) {
        guard let slot = offer?.slot else { return }
        own.unlock(LockSpace.holdAndDoorbell(slot))
        offer = nil
    }

    /// Makes a slot that is locked a permit. It may be the one that the kernel gave to this waiter as its holder
    /// let go: then the wake is the claim, and what else a grant needs is asked with the slot in hand.
    /// - Returns: nil if it may not be taken now.
    private func confirm(_ offer: Offer, _ ticket: Ticket) throws -> LocalGrant? {
        let isAlone = own.conflict(with: .read, in: LockSpace.slotsAndAhead(of: ticket)) == nil
        guard isAlone || request.lease != nil else { return nil }
        return try locked {
            var header = try openBook(isMember: true)
            guard !isPassed(ticket, header) else { return nil }
            if isAlone, header.remote == 0 {
                guard header.pause == nil else { return nil }
            } else {
                // Through our own description, in whose way this lock is not.
                let sight = settledSight(&header, from: ticket, through: own)
                guard sight.hasRoom, sight.concurrency > offer.slot, !sight.kept.contains(offer.slot) else {
                    return nil
                }
                if let next = sight.ahead.first, !offer.past.contains(next) { return nil }
            }
            return try record(offer.slot, ticket, &header, at: offer.since)
        }
    }

    private func isPassed(_ ticket: Ticket, _ header: Header?) -> Bool {
        header?.passed.contains(ticket) ?? false
    }

    /// Notes who stood still, so that whoever comes behind need not find out anew.
    private func pass(_ ahead: [Ticket], _ header: inout Header) {
        guard !ahead.isEmpty else { return }
        let before = header.passed.filter { own.isAlive($0) }
        header.passed = Array((ahead + before).prefix(Header.maximumPassed))
    }

    /// Who has become the next leaves the one just granted this long to start its command, before it makes
    /// its own ready: two cores have enough to do with the first.
    private static let settles = Duration.microseconds(200)

    /// How often a waiter looks for a note to it, and whether the file is still in place.
    private static let inspects = Duration.milliseconds(240)

    @discardableResult
    private func block<Result>(_ lookAfter: Duration, _ place: LocalPlace, _ call: (Duration) -> Result) -> Result {
        var limit = lookAfter
        if let look = observer.look(place) { limit = min(limit, look) }
        if let deadline { limit = min(limit, max(.zero, deadline - .monotonic())) }
        observer.blocks(true)
        defer { observer.blocks(false) }
        return call(limit)
    }

    /// Renders what a grant will write, and drops it: what a process does for the first time takes several
    /// times as long, and here nobody waits for it.
    private func rehearse(_ ticket: Ticket) {
        guard let header = Book.header(from: own) else { return }
        let holder = holder(ticket, token: header.lastToken, since: .now())
        withExtendedLifetime(
            (
                header.line, SlotRecord(queue: header.queue, slot: 0, holder: holder).line,
                History.line(.granted, at: holder.since, History.Tail(holder, slot: 0))
            )
        ) {}
    }

    /// Locked for reading, the place is in nobody's way, and alive.
    private func giveWay(_ ticket: Ticket) {
        _ = own.tryLock(.read, LockSpace.placeAndMember(ticket))
    }

    private func takePlaceAnew(_ ticket: Ticket) {
        // Only a successor's short read lock can be in the way.
        while !own.tryLock(.write, LockSpace.placeAndMember(ticket)), !alarm.isRung { alarm.sleep(.milliseconds(1)) }
    }

    // MARK: under the mutex

    private func locked<Result>(_ body: () throws -> Result) throws -> Result {
        let bound = request.limit == .zero ? Duration.monotonic() + request.mutexLimit : deadline
        defer { news.spread() }
        return try gate.locked(
            alarm: alarm, deadline: bound, stuck: { observer.stuck(path, by: MutexHolder.named(path)) }
        ) {
            guard file.isInPlace() else { throw Replaced() }
            return try body()
        }
    }

    /// What the queue looks like, and what of it should be written down.
    private func sight(
        _ header: Header?, from ticket: Ticket, through view: Description
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
                of: ticket, except: header?.passed ?? [], limit: sight.hasRoom ? Turn.horizon : 2)
        }
        return (sight, due)
    }

    /// Under the mutex: what the queue looks like, with what had to be written down.
    private func settledSight(
        _ header: inout Header, from ticket: Ticket, through view: Description? = nil
    ) -> Turn.Sight {
        let (sight, due) = sight(header, from: ticket, through: view ?? gate.description)
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
    private func lock(_ slot: Int) -> Bool {
        // A waiter that was stopped with its read lock on the doorbell must not keep us out.
        own.tryLock(.write, LockSpace.holdAndDoorbell(slot)) || own.tryLock(.write, LockSpace.hold(slot))
    }

    /// Makes a slot that is locked a permit.
    /// - Returns: nil if its record says that it must be kept; it is given back then.
    /// - Throws: ``SemaphoreError`` where a remote member's permit can't be written down; all is given back then.
    private func record(
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
        // Locked for reading, the place is given up (which wakes the next one) and the ticket lives on.
        _ = own.tryLock(.read, LockSpace.placeAndMember(ticket))
        if let lost = last?.holder { history.append(.lost, at: now, History.Tail(lost, slot: slot)) }
        header.lastTicket = max(header.lastTicket, ticket.number)
        header.lastToken = max(header.lastToken + 1, now.microseconds)
        header.holdoff = nil
        let holder = holder(ticket, token: header.lastToken, since: now)
        let isWritten = QueueFile.write(header, to: own)
        let isRecorded = QueueFile.write(
            SlotRecord(queue: header.queue, slot: slot, holder: holder).line, at: line, to: own)
        if request.lease != nil, !isWritten || !isRecorded { throw giveUp(book.metadataFailed(), slot, header) }
        let told = History.Tail(holder, slot: slot)
        history.append(.granted, at: now, told)
        return LocalGrant(
            file: file, description: own, queue: header.queue, path: path, holder: holder, slot: slot, history: history,
            told: told)
    }

    /// Gives everything back where a permit can't be written down.
    private func giveUp(_ error: SemaphoreError, _ slot: Int, _ header: Header) -> SemaphoreError {
        let free = SlotRecord(queue: header.queue, slot: slot, state: .free)
        QueueFile.write(free.line, at: QueueFile.slotLines.lowerBound + slot, to: own)
        own.unlockAll()
        return error
    }

    private func holder(_ ticket: Ticket, token: Int64, since: Timestamp) -> SlotRecord.Holder {
        guard let lease = request.lease else {
            return SlotRecord.Holder(ticket: ticket, token: token, since: since, party: party)
        }
        return SlotRecord.Holder(
            ticket: ticket, token: token, since: since, party: party, lease: .milliseconds(lease.milliseconds),
            expires: Timestamp(Timestamp.now().microseconds + lease.milliseconds * 1000))
    }
}

extension Ticket {
    var next: Ticket { Ticket(priority: priority, number: number + 1) }
}
