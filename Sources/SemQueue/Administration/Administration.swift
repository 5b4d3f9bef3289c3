internal import Glibc

/// What people do to a queue on this host as a whole.
package struct Administration: QueueAdministration {
    private let file: QueueFile
    private let description: Description
    private let gate: Gate
    private let made: Bool
    private let by: String

    /// - Parameter by: who does it, as `user@host`; nil is this process's user.
    /// - Throws: ``SemaphoreError`` when the file can't be opened for writing.
    package init(_ path: String, create: Bool, anyFilesystem: Bool = false, by: String? = nil) throws {
        self.by = by ?? "\(LocalHost.user)@\(LocalHost.name)"
        (file, description, made) = try QueueFile.open(
            path, QueueFile.Options(create: create, anyFilesystem: anyFilesystem))
        gate = Gate(description: try file.reopen())
    }

    package func setConcurrency(_ concurrency: Int) throws -> QueueChange {
        try change { header in
            header.concurrency = concurrency
            header.origin = .set
            return (.concurrency, [("concurrency", .integer(Int64(concurrency)))])
        }
    }

    package func pause(reason: String) throws -> QueueChange {
        try change { header in
            header.pause = Header.Pause(by: by, since: .now(), reason: reason)
            return (.paused, [("reason", .string(reason.bounded))])
        }
    }

    package func resume() throws -> QueueChange {
        try change { header in
            header.pause = nil
            return (.resumed, [])
        }
    }

    private func change(
        _ body: (inout Header) -> (History.Event, [(String, JSON)])
    ) throws -> QueueChange {
        let change = try locked {
            let book = Book(file: file, description: description)
            var header: Header
            var isNew = false
            switch try book.header(concurrency: nil) {
            case .made(let new):
                header = new
                isNew = made
            case .sound(let found), .recovered(let found), .unwritten(let found): header = found
            }
            let (event, fields) = body(&header)
            guard QueueFile.write(header, to: description) else {
                throw SemaphoreError.system(.io, "can't write", file.path)
            }
            History(of: file.place).append(event, at: .now(), fields + [("by", .string(by))])
            return QueueChange(
                made: isNew ? "\(LocalHost.name):\(QueueStatus.absolute(file.path))" : nil,
                concurrency: header.concurrency, holding: gate.description.heldSlots().count)
        }
        for waiter in QueueStatus(of: file, through: gate.description).waiting.prefix(change.concurrency) {
            wake(waiter.party)
        }
        return change
    }

    package func remove(ticket number: Int64, reason: String, grace: Duration) throws -> QueueMember? {
        try remove(ticket: number, reason: reason, grace: grace, only: nil, lost: nil)
    }

    /// Ends a turn as ``remove(ticket:reason:grace:)`` does, and no other that has its number by now.
    /// - Parameters:
    ///   - turn: what the holder said of its grant; see ``LocalGrant/report``.
    ///   - asLost: nobody ends it; its lease has run out.
    /// - Returns: whether it was told; false where it has ended, or its record can't be read just now.
    func end(_ turn: SlotRecord, reason: String, grace: Duration, asLost: Bool) throws -> Bool {
        guard let holder = turn.holder else { return false }
        let lost = asLost ? History.Tail(holder, slot: turn.slot) : nil
        return try remove(ticket: holder.ticket.number, reason: reason, grace: grace, only: turn, lost: lost) != nil
    }

    /// - Parameters:
    ///   - turn: who is meant; nil: whoever has the number.
    ///   - lost: what the history tells of a holder whose turn nobody ends.
    private func remove(
        ticket number: Int64, reason: String, grace: Duration, only turn: SlotRecord?, lost: History.Tail?
    ) throws -> QueueMember? {
        let status = QueueStatus(of: file, through: gate.description)
        if turn == nil { try checkIsOne(number, in: status) }
        guard let found = find(in: status, { turn == nil ? $0.number == number : $0 == turn?.holder?.ticket })
        else { return nil }
        let ticket = found.ticket
        var subject = found.member
        if let holder = status.holders.first(where: { $0.ticket == ticket }), holder.isOrphaned {
            throw orphaned(holder.party)
        }
        let left = try locked { () -> Bool in
            guard description.isAlive(ticket), turn.map(stands) ?? true else { return false }
            guard let now = standing(found) else { return false }
            subject = now
            guard let header = Book.header(from: description) else {
                throw SemaphoreError(.io, "\(file.path): the queue's header is damaged; `semq set` it first")
            }
            let note = Note(
                queue: header.queue, ticket: ticket, grace: grace.nanoseconds / 1_000_000, by: by, reason: reason)
            switch Notes.put(note, to: description) {
            case .left: break
            case .full:
                throw SemaphoreError(
                    .io,
                    "\(file.path): can't leave a message in the queue file: \(QueueFile.noteLines.count) others have not been "
                        + "heard yet; try again when they have gone")
            case .failed: throw SemaphoreError.system(.io, "can't leave a message in", file.path)
            }
            let removed = History.Tail([
                ("ticket", .integer(number)), ("by", .string(by)), ("reason", .string(reason.bounded)),
            ])
            History(of: file.place).append(lost == nil ? .removed : .lost, at: .now(), lost ?? removed)
            return true
        }
        guard left else { return nil }
        wake(subject.party)
        return subject
    }

    /// Calls a waiter again: a signal just before a call that blocks is lost.
    package func isAlive(_ number: Int64) -> Bool {
        let tickets = description.living().filter { $0.number == number }
        let book = Book(file: file, description: description)
        for ticket in tickets {
            if let waiter = WaiterLine.record(of: ticket, in: book) { wake(waiter.party) }
        }
        return !tickets.isEmpty
    }

    /// Whether a turn goes on; see ``LocalGrant/report``.
    func isHeld(_ turn: SlotRecord) -> Bool {
        turn.holder.map { description.isAlive($0.ticket) } == true && stands(turn)
    }

    /// Whether a turn is still the one of its slot. Nobody but itself writes the same ticket, token, instant and party.
    private func stands(_ turn: SlotRecord) -> Bool {
        let line = QueueFile.slotLines.lowerBound + turn.slot
        return QueueFile.record(SlotRecord.self, at: line, from: description)?.holder == turn.holder
    }

    /// Whom a number named as it was looked for, before the mutex.
    private struct Found {
        var ticket: Ticket
        var member: QueueMember
        /// Since when it held or waited.
        var since: Timestamp
        let lookedAt = Timestamp.now()
    }

    /// What has become of one who was found; under the mutex. A number names nobody for ever: where the header can't be
    /// written it is drawn again when its first has gone.
    /// - Returns: nil when somebody else has the number by now.
    private func standing(_ found: Found) -> QueueMember? {
        func isSame(_ party: Party) -> Bool {
            let known = found.member.party
            return known == .unknown || party == .unknown
                || (known.pid, known.host, known.user) == (party.pid, party.host, party.user)
        }
        let status = QueueStatus(of: file, through: gate.description, withWaiting: false)
        if let holder = status.holders.first(where: { $0.ticket == found.ticket }) {
            // A waiter that was granted since it was looked for has begun.
            if case .holder(let party) = found.member, party != .unknown, holder.party != .unknown {
                guard holder.since == found.since else { return nil }
            }
            return isSame(holder.party) ? .holder(found.member.party) : nil
        }
        let record = WaiterLine.record(of: found.ticket, in: Book(file: file, description: description))
        guard let record else { return found.member }
        guard case .waiter(let party) = found.member else {
            return record.since <= found.lookedAt ? found.member : nil
        }
        // The record of one who wasn't known may have been written anew, and tells of before.
        let isAsOld = party == .unknown ? record.since <= found.lookedAt : record.since == found.since
        return isAsOld && isSame(record.party) ? found.member : nil
    }

    /// Where nobody is left to be told.
    private func orphaned(_ party: Party) -> SemaphoreError {
        SemaphoreError(
            .io,
            "\(file.path): the semq of \(party.user)@\(party.host) (pid \(party.pid)) and its guardian are dead, and nobody "
                + "is left to be told; the slot is free when what they had started ends; see: semq doctor \(file.path)")
    }

    /// Two may bear one number where the header could not be written as the first had drawn it, and the second has
    /// another priority.
    private func checkIsOne(_ number: Int64, in status: QueueStatus) throws(SemaphoreError) {
        let those = description.living().filter { $0.number == number }
        guard those.count > 1 else { return }
        let names = those.map { ticket -> String in
            let party =
                status.holders.first { $0.ticket == ticket }?.party
                ?? status.waiting.first { $0.ticket == ticket }?.party
            guard let party, party != .unknown else { return "one of priority \(ticket.priority)" }
            return "\(party.user)@\(party.host) (pid \(party.pid), priority \(ticket.priority)): \(party.description)"
        }
        throw SemaphoreError(
            .io,
            "\(file.path): ticket \(number) is borne by \(those.count), because the queue file could not be written as it was "
                + "drawn: \(names.joined(separator: "; ")); nobody was ended: end the one that is meant on its own host, by its "
                + "process")
    }

    private func find(in status: QueueStatus, _ isMeant: (Ticket) -> Bool) -> Found? {
        // What a dead holder has left has no turn to end.
        if let holder = status.holders.first(where: { isMeant($0.ticket) && description.isAlive($0.ticket) }) {
            return Found(ticket: holder.ticket, member: .holder(holder.party), since: holder.since)
        }
        if let waiter = status.waiting.first(where: { isMeant($0.ticket) }) {
            return Found(ticket: waiter.ticket, member: .waiter(waiter.party), since: waiter.since)
        }
        // One that holds, and whose record can't be read.
        guard status.holders.contains(where: { $0.party == .unknown }),
            let ticket = description.living().first(where: isMeant)
        else { return nil }
        return Found(ticket: ticket, member: .holder(.unknown), since: Timestamp(0))
    }

    /// Saves a member the wait until its next look. The signal is one that is ignored unless asked for,
    /// so it does no harm where the number means another process by now or in this namespace. Another host's
    /// numbers mean nothing here.
    private func wake(_ party: Party) {
        guard party.pid > 1, party.host == LocalHost.name else { return }
        kill(party.pid, Alarm.signal)
    }

    private func locked<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try gate.locked(alarm: Alarm(), deadline: .monotonic() + .seconds(10)) {
                // What is changed in a file that nobody will open again is changed for nobody.
                guard file.isInPlace(through: description) else { throw file.replaced() }
                return try body()
            }
        } catch is Gate.Failure {
            throw SemaphoreError(
                .io,
                "\(file.path): \(LockOwner.named(LockOwner.ofMutex(file.path))) stands still with the queue's mutex; "
                    + "let it go on (kill -CONT) or end it")
        }
    }
}
