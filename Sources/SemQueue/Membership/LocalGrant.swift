internal import CSemQueue
internal import Glibc

/// A slot that is held: the locks, and what was recorded about them.
///
/// It is held as long as any process has a descriptor of ``description``, or until ``release()``.
package final class LocalGrant: Grant {
    let file: QueueFile
    let description: Description
    /// The queue's random name, the same by whatever path or host it is reached.
    package let queue: UInt64
    package let ticket: Ticket
    package let slot: Int
    /// The fencing token.
    package let token: Int64
    let since: Timestamp
    let party: Party
    /// For how long the slot is kept when all who have the description die without a word; zero: not at all.
    let lease: Duration
    private let isProved: Bool
    /// Whether its record may still be written, which ends with the release.
    private let isRecorded = Guarded(true)
    private let secret = Guarded<Secret?>(nil)
    /// What the queue keeps of the secret, once there is one.
    private let proof: Guarded<Proof?>
    /// The path that the queue was asked for by.
    package let path: String
    private let history: History
    private let told: History.Tail

    init(
        file: QueueFile, description: Description, queue: UInt64, path: String, holder: SlotRecord.Holder, slot: Int,
        history: History, told: History.Tail, proof: Proof? = nil
    ) {
        self.proof = Guarded(proof)
        self.history = history
        self.told = told
        self.file = file
        self.description = description
        self.queue = queue
        self.path = path
        self.ticket = holder.ticket
        self.slot = slot
        self.token = holder.token
        self.since = holder.since
        self.party = holder.party
        lease = holder.lease
        isProved = holder.isProved
    }

    /// As text, for a process that was forked before the grant and has the same descriptors.
    package var handover: String {
        _ = prove()
        let digest = proof.withLock { $0?.digest } ?? "-"
        let numbers =
            "\(description.descriptor) \(file.identity.device) \(file.identity.inode) \(path.utf8.count) \(digest)"
        return numbers + "\n" + String(decoding: report, as: UTF8.self) + path + file.place
    }

    /// By which this turn is told from all others of its queue, before a recovery of that and after: its record.
    package var report: [UInt8] { SlotRecord(queue: queue, slot: slot, holder: holder(expires: nil)).line }

    package convenience init?(handover: String) {
        let bytes = Array(handover.utf8)
        let numbers = bytes.prefix { $0 != UInt8(ascii: "\n") }
        let parts = numbers.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
        let words = parts.prefix(4).compactMap { UInt64($0) }
        let rest = bytes.dropFirst(numbers.count + 1)
        guard parts.count == 5, words.count == 4, let record = SlotRecord(line: rest.prefix(Line.length)),
            let holder = record.holder
        else {
            return nil
        }
        let names = rest.dropFirst(Line.length)
        let path = String(decoding: names.prefix(Int(words[3])), as: UTF8.self)
        let place = String(decoding: names.dropFirst(Int(words[3])), as: UTF8.self)
        let identity = QueueFile.Identity(device: words[1], inode: words[2])
        let description = Description(owning: Int32(words[0]))
        self.init(
            file: QueueFile(path: path, place: place, identity: identity, description: description),
            description: description, queue: record.queue, path: path, holder: holder,
            slot: record.slot, history: History(of: place), told: History.Tail(holder, slot: record.slot),
            proof: Proof(digest: parts[4]))
    }

    package func prove() -> String? {
        guard isProved else { return nil }
        return secret.withLock { secret in
            if let secret { return secret.text }
            let new = Secret.random()
            secret = new
            let proof = Proof(new)
            self.proof.withLock { $0 = proof }
            isRecorded.withLock { if $0 { _ = description.tryLock(.write, proof.lock) } }
            mendProof()
            return new.text
        }
    }

    /// Writes what the queue keeps of the secret, where it doesn't stand.
    private func mendProof() {
        guard let proof = proof.withLock({ $0 }) else { return }
        let record = ProofRecord(queue: queue, ticket: ticket, token: token, proof: proof)
        isRecorded.withLock { isRecorded in
            guard isRecorded, ProofRecord.at(slot, of: ticket, token: token, in: description)?.proof != proof else {
                return
            }
            QueueFile.write(record.line, at: QueueFile.proofLine(ofSlot: slot), to: description)
        }
    }

    private func holder(expires: Timestamp?, isSilent: Bool = false) -> SlotRecord.Holder {
        SlotRecord.Holder(
            ticket: ticket, token: token, since: since, party: party, lease: lease, expires: expires,
            isSilent: isSilent, isProved: isProved)
    }

    /// Writes down how the remote holder's lease stands: for people, and over whatever damage was done to the
    /// record. Does nothing once the slot is given back.
    /// - Parameters:
    ///   - expires: when the lease ends if nothing more is heard.
    ///   - isSilent: whether the holder isn't heard of just now.
    package func recordLease(expires: Timestamp, isSilent: Bool = false) {
        guard lease > .zero else { return }
        record(holder(expires: expires, isSilent: isSilent))
    }

    package func remark(_ text: String) {
        isRecorded.withLock { isRecorded in
            guard isRecorded else { return }
            Remark(queue: queue, token: token, text: text).write(of: slot, to: description)
        }
    }

    private func record(_ holder: SlotRecord.Holder) {
        isRecorded.withLock { isRecorded in
            guard isRecorded else { return }
            let record = SlotRecord(queue: queue, slot: slot, holder: holder)
            QueueFile.write(record.line, at: recordLine, to: description)
        }
    }

    /// Takes the doorbell where somebody stood in front of it at the grant: until then those who wait look by the clock.
    private func takeDoorbell() {
        // Never behind the release, whose description is used again.
        isRecorded.withLock { isRecorded in
            if isRecorded { _ = description.tryLock(.write, LockSpace.doorbell(slot)) }
        }
    }

    /// Writes the record again where it was damaged, so that those who wait know for whom. A lease's is written with
    /// each sign of life.
    private func mend() {
        takeDoorbell()
        mendProof()
        guard lease == .zero, QueueFile.record(SlotRecord.self, at: recordLine, from: description) == nil else {
            return
        }
        record(holder(expires: nil))
    }

    /// The descriptor to hand to a command, so that the lock follows the work.
    package var descriptor: Int32? { description.descriptor }

    /// Renders what a release will write, and drops it: done for the first time that takes several times as
    /// long, and whoever waits for the release should not wait for it.
    package func rehearseRelease() {
        withExtendedLifetime((freeRecord, History.line(.released, at: since, told))) {}
    }

    /// Gives the slot back, in every process that has the description. Waits for whoever runs nested
    /// under this permit.
    /// - Parameters:
    ///   - mayBeDone: somebody who was killed may have given it back already.
    ///   - asLost: its lease has run out, so that whatever ran under it has ended.
    package func release(mayBeDone: Bool) { release(mayBeDone: mayBeDone, asLost: false) }

    func release(mayBeDone: Bool = false, asLost: Bool) {
        if tryRelease(mayBeDone: mayBeDone, asLost: asLost) { return }
        let nested = LockSpace.nested(ticket)
        while semq_lock(description.descriptor, SEMQ_WRITE, nested.start, nested.length, true) == EINTR {}
        _ = tryRelease(mayBeDone: mayBeDone, asLost: asLost)
    }

    /// Gives the slot back unless somebody runs nested under this permit.
    /// - Returns: whether it was given back.
    func tryRelease(mayBeDone: Bool = false, asLost: Bool = false) -> Bool {
        // A nested acquire first locks its byte for reading and then looks whether the ticket lives;
        // we first take the byte for writing and then give the ticket up: one of us sees the other.
        guard description.tryLock(.write, LockSpace.nested(ticket)) else { return false }
        isRecorded.withLock { $0 = false }
        let isOurs = !mayBeDone || recordIsOurs
        // The record before the lock: found "held" under a free lock, it tells the next one of a loss.
        if isOurs { QueueFile.write(freeRecord, at: recordLine, to: description) }
        let now = Timestamp.now()
        description.unlockAll()
        // After the unlocking, which somebody waits for; `lines()` of the history puts the events in order.
        if isOurs { tellEnd(at: now, asLost: asLost) }
        return true
    }

    private func tellEnd(at now: Timestamp, asLost: Bool) {
        if file.isInPlace(through: description) { return history.append(asLost ? .lost : .released, at: now, told) }
        // The history at the path goes on with the new file, whose turns have numbers of their own.
        let tail = History.Tail(holder(expires: nil), slot: slot, reason: "the queue file was deleted or replaced")
        history.append(.lost, at: now, tail, makes: false)
    }

    private var recordLine: Int { QueueFile.slotLines.lowerBound + slot }

    private var freeRecord: [UInt8] { SlotRecord(queue: queue, slot: slot, holder: nil).line }

    /// Whether the slot's record still tells of this grant; one that can't be read is nobody else's.
    private var recordIsOurs: Bool {
        let record = QueueFile.record(SlotRecord.self, at: recordLine, from: description)
        return record == nil || record?.holder?.token == token
    }

    /// Looks whether the permit still stands, and mends its record. To be asked about once a second.
    package func loss() -> PermitLoss? {
        mend()
        let isInPlace = file.isInPlace(through: description, remembers: true)
        // Whoever comes anew knows nothing of the old file: there is no longer grace than that.
        if let note = Notes.forTicket(ticket, in: description),
            isInPlace || .milliseconds(note.grace) <= PermitLoss.graceOfReplaced
        {
            return .released(by: note.by, reason: note.reason, grace: .milliseconds(note.grace))
        }
        return isInPlace ? nil : .fileReplaced
    }
}
