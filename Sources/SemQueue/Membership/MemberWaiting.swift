/// From the place in line to the permit.
extension Member {
    /// Until the permit is had, or an outcome without one.
    func wait(_ ticket: Ticket, _ record: WaiterLine) throws -> Outcome {
        var record = record
        // Explicitly, because a process forked meanwhile may have the description too.
        var granted = false
        let slots = SlotWatch(gate)
        defer {
            // Whoever is granted forks.
            slots.stop()
            record.clear(in: book)
            if !granted {
                own.unlockAll()
                observer.left()
            }
        }
        let place = LocalPlace(ticket, file: file, own: own, gate: gate)
        observer.joined(place)
        var turn = Turn()
        var stopped: [Ticket] = []
        var stand = Stand.unknown
        var isReady = false
        var isAside = false
        /// It goes on, and its place is somebody's who stands still with it.
        var isPlaceless = false
        var offer: Offer?
        var nextInspection = Duration.monotonic() + Self.inspects
        while true {
            let now = Duration.monotonic()
            if alarm.isRung { return .cancelled }
            if let deadline, now >= deadline { return .timedOut }
            if observer.lostPlace() {
                giveBack(&offer)
                isPlaceless = !takesPlaceAnew(ticket)
                continue
            }
            if now >= nextInspection {
                try checkNotes(to: ticket)
                guard file.isInPlace(through: own, remembers: true) else { throw Replaced() }
                mend(&record)
                nextInspection = now + Self.inspects
            }
            if observer.standing() == .aside || isUnwanted(&offer) {
                giveBack(&offer)
                if !isAside { giveWay(ticket) }
                (isAside, isPlaceless, stand, turn) = (true, false, .unknown, Turn())
                block(Self.inspects, place) { alarm.sleep($0) }
                continue
            }
            if isPlaceless { isPlaceless = !own.tryLock(.write, LockSpace.placeAndMember(ticket)) }
            if isAside {
                isPlaceless = !takesPlaceAnew(ticket)
                isAside = false
                continue
            }
            if let offered = offer {
                // Time has passed if somebody was asked.
                if alarm.isRung { return .cancelled }
                do {
                    if let grant = try confirm(offered, ticket) {
                        granted = true
                        return .granted(grant)
                    }
                } catch is Unheld { isPlaceless = !takesPlaceAnew(ticket) }
                giveBack(&offer)
                continue
            }
            let action: Turn.Action
            let decision: Decision
            do { decision = try decide(&turn, stand, &stopped, ticket, now) } catch is Unheld {
                isPlaceless = !takesPlaceAnew(ticket)
                continue
            }
            switch decision {
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
                place.isNext = false
                let rest = turn.isFarBack ? (Duration.monotonic() - now) * Self.looksApart : .zero
                let (cameFree, wasSentFor) = block(isPlaceless ? Self.retries : max(lookAfter, rest), place) {
                    gate.await(LockSpace.place(next), alarm, $0)
                }
                if wasSentFor, !cameFree { nextInspection = now }
                stand = cameFree ? .unknown : .behind(next)
            case .waitForSlot(let held, let lookAfter):
                let isNew = stand != .next
                place.isNext = true
                if !isNew, !isReady {
                    slots.stop()  // it forks
                    observer.isNext(place)
                    rehearse(ticket)
                    isReady = true
                }
                stand = .next
                let (taken, wasSentFor) = block(
                    isNew ? min(lookAfter, Self.settles) : isPlaceless ? Self.retries : lookAfter, place
                ) {
                    if held == [0] {
                        let isOurs = own.lock(.write, LockSpace.holdAndDoorbell(0), alarm, $0)
                        return isOurs ? Offer(slot: 0, since: .now()) : nil
                    }
                    // Not for that short a time.
                    if held.isEmpty || isNew && held.count > 1 {
                        alarm.sleep($0)
                    } else {
                        slots.await(held, alarm, $0)
                    }
                    return nil
                }
                offer = taken
                if wasSentFor, offer == nil { nextInspection = now }
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
        case behind(Ticket)
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

    /// - Parameter stopped: those ahead who were looked past, as of the last look and of this one.
    private func decide(
        _ turn: inout Turn, _ stand: Stand, _ stopped: inout [Ticket], _ ticket: Ticket, _ now: Duration
    ) throws -> Decision {
        switch stand {
        case .behind(let next):
            let header = saw(Book.header(from: own))
            let hasRoom = header?.pause == nil && gate.description.hasRoom(concurrency: header?.concurrency ?? 1)
            let isFarBack = turn.isFarBack && gate.description.isAnybody(ahead: ticket, by: Turn.horizon)
            if !isPassed(ticket, header), isFarBack || !isStopped(next),
                let action = turn.glance(
                    behind: next, hasRoom: hasRoom, lastToken: header?.lastToken ?? 0, isFarBack: isFarBack)
            {
                return .look(action)
            }
            fallthrough
        case .unknown:
            let header = saw(Book.header(from: own))
            var (sight, due) = sight(header, from: ticket, through: gate.description)
            stopped = stoppedOnes(from: sight.ahead.first, header)
            if !stopped.isEmpty {
                (sight, due) = self.sight(header, from: ticket, through: gate.description, past: stopped)
            }
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
                var sight = settledSight(&header, from: ticket, past: stopped)
                if !stopped.isEmpty, sight.hasRoom {
                    // One of them may go on again.
                    stopped = stoppedOnes(from: gate.description.nearestAhead(of: ticket), header)
                    sight = settledSight(&header, from: ticket, past: stopped)
                }
                let action = turn.look(sight, at: .monotonic())
                guard case .claim(let slot) = action, !alarm.isRung else { return .look(action) }
                try checkNotes(to: ticket)
                guard lock(slot) else { return .look(action) }
                pass(sight.ahead, &header)
                tellPassed(sight.ahead + stopped)
                guard request.lease == nil else {
                    if !sight.ahead.isEmpty { QueueFile.write(header, to: own) }
                    return .offered(Offer(slot: slot, since: .now(), past: sight.ahead + stopped))
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
        try locked {
            var header = try openBook(isMember: true)
            guard !isPassed(ticket, header) else { return nil }
            // Under the mutex like all that a grant rests on: before it, others may come in beyond.
            let isAlone = own.conflict(with: .read, in: LockSpace.slotsAndAhead(of: ticket)) == nil
            if isAlone, header.remote == 0 {
                guard header.pause == nil else { return nil }
            } else {
                guard isAlone || request.lease != nil else { return nil }
                // Through our own description, in whose way this lock is not.
                let sight = settledSight(&header, from: ticket, through: own)
                let taken = sight.held + sight.kept
                guard sight.hasRoom, sight.concurrency > offer.slot, !taken.contains(offer.slot) else {
                    return nil
                }
                if let next = sight.ahead.first, !offer.past.contains(next) { return nil }
            }
            try checkNotes(to: ticket)
            return try record(offer.slot, ticket, &header, at: offer.since)
        }
    }

    /// Who has become the next leaves the one just granted this long to start its command, before it makes
    /// its own ready: two cores have enough to do with the first.
    private static let settles = Duration.microseconds(200)

    /// A look costs what its time says, more with each who waits and with each who wants the processor: where that
    /// is much, those far back look rarely. Otherwise the looks of thousands could keep the head from its turn,
    /// and a slot that stays free would bring ever more of them.
    private static let looksApart = 50

    /// How often one without its place tries to have it again.
    private static let retries = Duration.milliseconds(100)

    /// How often a waiter looks for a note to it, and whether the file and its own record are still in place.
    private static let inspects = Duration.milliseconds(240)

    /// - Returns: what the call returned, and whether that was before its time.
    @discardableResult
    func block<Result>(
        _ lookAfter: Duration, _ place: LocalPlace, _ call: (Duration) -> Result
    ) -> (Result, isEarly: Bool) {
        var limit = lookAfter
        if let look = observer.look(place) { limit = min(limit, look) }
        if let deadline { limit = min(limit, max(.zero, deadline - .monotonic())) }
        observer.blocks(true)
        defer { observer.blocks(false) }
        let end = Duration.monotonic() + limit
        let result = call(limit)
        return (result, .monotonic() < end)
    }

    /// Before a grant under the mutex, under which notes are put: one that was taken out is not let in.
    private func checkNotes(to ticket: Ticket) throws {
        if let note = Notes.forTicket(ticket, in: own) { throw Removal(note: note) }
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

    /// Only a successor's short read lock can be in the way; for longer, if that one is stopped just then.
    /// - Returns: false if so: those behind may pass until it is had, and it may be granted without.
    private func takesPlaceAnew(_ ticket: Ticket) -> Bool {
        var pause = Duration.milliseconds(1)
        while !own.tryLock(.write, LockSpace.placeAndMember(ticket)) {
            guard pause <= .milliseconds(64), !alarm.isRung, deadline.map({ .monotonic() < $0 }) ?? true else {
                giveWay(ticket)
                return false
            }
            alarm.sleep(pause)
            pause *= 2
        }
        return true
    }
}
