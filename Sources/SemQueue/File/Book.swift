internal import Glibc

/// The records of a queue as its mutex's holder keeps them: making, reading and mending the header.
struct Book {
    let file: QueueFile
    let description: Description
    var clock = BootTime.clock

    enum Found {
        case sound(Header)
        case made(Header)
        case recovered(Header)
        /// It was recovered, and can't be written down: the next one recovers it again.
        case unwritten(Header)
    }

    /// A line without a record.
    static let blank = [UInt8](repeating: UInt8(ascii: " "), count: Line.length - 1) + [UInt8(ascii: "\n")]

    /// Readable without the mutex: a copy that is torn by a write in progress is read again.
    static func header(from description: Description) -> Header? {
        for _ in 0..<3 {
            if let header = QueueFile.header(from: description) { return header }
        }
        return nil
    }

    /// Under the mutex: the header, made for a new queue and recovered for a damaged one.
    /// - Parameters:
    ///   - concurrency: what a new queue is made with; nil is 1.
    ///   - isMember: the asker waits in this queue already, with locks that it doesn't see itself.
    ///   - unwritten: what the asker has recovered before and could not write down: it counts from then on.
    /// - Throws: ``SemaphoreError`` where the file is somebody else's, or can't be made.
    func header(
        concurrency: Int?, isMember: Bool = false, unwritten: Header? = nil
    ) throws(SemaphoreError) -> Found {
        if let header = QueueFile.header(from: description) { return .sound(header) }
        var info = stat()
        guard fstat(description.descriptor, &info) == 0 else { throw .system(.io, "can't look at", file.path) }
        let isUsed = isMember || !description.waiting().isEmpty || !description.heldSlots().isEmpty
        if info.st_size == 0, !isUsed {
            var header = try make(concurrency: concurrency ?? 1)
            // Emptied or taken away by somebody: whoever held it from elsewhere may still be at work.
            if mark.isThere {
                extendRemote(to: 1, &header)
                holdOff(&header, damaged: 0)
                QueueFile.write(header, to: description)
            }
            return .made(header)
        }
        let slotLines = QueueFile.records(SlotRecord.self, in: QueueFile.slotLines, from: description)
        let slots = slotLines.map(\.record)
        let waiters = QueueFile.records(WaiterRecord.self, in: QueueFile.waiterLines, from: description).map(\.record)
        let name = slots.first?.queue ?? waiters.first?.queue
        guard isUsed || name != nil || beginsAsQueue else { throw foreign() }
        let tickets = description.living() + waiters.map(\.ticket) + slots.compactMap { $0.lastHolder?.ticket }
        let lastTicket = (tickets.map(\.number) + Notes.numbers(in: description)).max() ?? 0
        let lastToken = slots.compactMap { $0.lastHolder?.token }.max() ?? 0
        // Where somebody was granted since, it was written, and is lost once more.
        let known = unwritten.flatMap { $0.lastToken >= lastToken ? $0 : nil }
        var header = Header(queue: name ?? known?.queue ?? .random(in: 1...(.max)), origin: .recovered)
        header.lastTicket =
            known.map { max($0.lastTicket, lastTicket) } ?? Numbering.restart(after: lastTicket, at: .now())
        header.lastToken = max(known?.lastToken ?? 0, lastToken)
        let remote = slotLines.filter { $0.record.lastHolder?.isRemote ?? false }
            .map { $0.line - QueueFile.slotLines.lowerBound }
        if mark.isThere || !remote.isEmpty {
            var freed = 0
            extendRemote(to: ((remote + description.heldSlots()).max() ?? 0) + 1, &header, freed: &freed)
            // A record that can't be read may be of somebody who was granted since.
            if let known, known.holdoff != nil, freed == 0 {
                (header.remoteBoot, header.holdoff) = (known.remoteBoot, known.holdoff)
            } else {
                holdOff(&header, damaged: 0)
            }
        }
        let isWritten = QueueFile.write(header, to: description)
        if known == nil {
            History(of: file.place).append(.headerLost, at: .now(), [("concurrency", .integer(1))])
        }
        return isWritten ? .recovered(header) : .unwritten(header)
    }

    /// For those who only look: refuses a file that is none of ours. An empty one will be.
    func checkIsQueue() throws(SemaphoreError) {
        guard QueueFile.header(from: description) == nil else { return }
        var info = stat()
        guard fstat(description.descriptor, &info) == 0, info.st_size > 0 else { return }
        guard description.heldSlots().isEmpty, description.waiting().isEmpty else { return }
        let slots = QueueFile.records(SlotRecord.self, in: QueueFile.slotLines, from: description)
        guard slots.isEmpty, !beginsAsQueue else { return }
        throw foreign()
    }

    /// Whether one of the headers at least begins as ours do: nobody else's file does.
    private var beginsAsQueue: Bool {
        (0..<2).contains { line in
            QueueFile.readLines(line..<(line + 1), from: description).starts(with: Line.start(of: "queue"))
        }
    }

    /// Room for all records that a holder writes is taken now, so that a disk that fills up later
    /// finds them in place.
    private func make(concurrency: Int) throws(SemaphoreError) -> Header {
        let header = Header(queue: .random(in: 1...(.max)), concurrency: concurrency)
        let lines = QueueFile.firstLines(concurrency: concurrency)
        let content = header.line + header.line + Array(repeatElement(Self.blank, count: lines - 2).joined())
        guard !QueueFile.write(content, at: 0, to: description) else { return header }
        let error = SemaphoreError.system(.cannotCreate, "can't write", file.path)
        // Nobody relies on an empty one yet: it is refused, and left as if it had only been touched.
        ftruncate(description.descriptor, 0)
        throw error
    }

    // MARK: members on other hosts

    var mark: RemoteMark { RemoteMark(of: file.place) }

    /// Under the mutex: makes sure that a grant to a remote member would not be forgotten, whatever is damaged.
    /// - Returns: whether the header must be written.
    /// - Throws: ``SemaphoreError`` when that can't be made sure.
    func admitRemote(to slot: Int, _ header: inout Header) throws(SemaphoreError) -> Bool {
        try mark.make()
        let before = header
        let now = clock()
        let rest = Tombstones.holdoff(header, at: now)
        // That of a reboot is written down, for from here on it can't be told from the boots.
        if rest > .zero { header.holdoff = Expiry(rest, from: now) }
        guard extendRemote(to: slot + 1, &header) else { throw metadataFailed() }
        header.remoteBoot = now.boot
        return header != before
    }

    /// What a grant to a remote member rests on could not be written.
    func metadataFailed() -> SemaphoreError {
        .system(
            .io, "can't write", file.path,
            advice: "; members on other hosts are let in only where what they hold can be written down")
    }

    /// The records of slots up to this one are read from now on: whatever stands there that is none is replaced.
    /// - Returns: whether that could be written.
    @discardableResult
    private func extendRemote(to count: Int, _ header: inout Header) -> Bool {
        var freed = 0
        return extendRemote(to: count, &header, freed: &freed)
    }

    /// - Parameter freed: how many were replaced.
    @discardableResult
    private func extendRemote(to count: Int, _ header: inout Header, freed: inout Int) -> Bool {
        guard header.remote < count else { return true }
        let held = description.heldSlots()
        var isWritten = true
        for slot in header.remote..<count where !held.contains(slot) {
            let line = QueueFile.slotLines.lowerBound + slot
            guard QueueFile.record(SlotRecord.self, at: line, from: description)?.slot != slot else { continue }
            if free(slot, header) { freed += 1 } else { isWritten = false }
        }
        header.remote = count
        return isWritten
    }

    private func free(_ slot: Int, _ header: Header) -> Bool {
        let record = SlotRecord(queue: header.queue, slot: slot, state: .free)
        return QueueFile.write(record.line, at: QueueFile.slotLines.lowerBound + slot, to: description)
    }

    /// Grants nobody for as long as any lease lasts.
    private func holdOff(_ header: inout Header, damaged: Int) {
        let now = clock()
        header.remoteBoot = now.boot
        header.holdoff = Expiry(Lease.longest, from: now)
        History(of: file.place).append(
            .heldOff, at: .now(),
            [("seconds", .integer(Lease.longest.components.seconds)), ("damaged", .integer(Int64(damaged)))])
    }

    /// What remote holders that are gone have left. Costs a read where there ever was one, and nothing elsewhere.
    func tombstones(
        _ header: Header, held: [Int], unwritten: Tombstones.Unwritten = Tombstones.Unwritten()
    ) -> Tombstones {
        let first = QueueFile.slotLines.lowerBound
        let records = QueueFile.readLines(first..<(first + header.remote), from: description)
        return Tombstones(header, records, held: held, at: clock(), unwritten: unwritten)
    }

    /// Under the mutex: writes down what was found.
    /// - Returns: the holders that were lost.
    func settle(
        _ due: [Tombstones.Change], _ header: inout Header, _ unwritten: inout Tombstones.Unwritten
    ) -> [SlotRecord] {
        var lost: [SlotRecord] = []
        var damaged = 0
        for change in due {
            switch change {
            case .stamp(let record):
                lost.append(record)
                guard case .dead(let holder, let expiry) = record.state else { continue }
                let line = QueueFile.slotLines.lowerBound + record.slot
                if !QueueFile.write(record.line, at: line, to: description) { unwritten.stamps[holder.token] = expiry }
            case .mend(let slot):
                damaged += 1
                if !free(slot, header) { unwritten.mended.insert(slot) }
            }
        }
        if damaged > 0 {
            holdOff(&header, damaged: damaged)
            if !QueueFile.write(header, to: description) { unwritten.holdoff = header.holdoff }
        }
        return lost
    }

    private func foreign() -> SemaphoreError {
        let start = QueueFile.readLines(0..<1, from: description).prefix(64)
        let isJSON = start.first { $0 > 0x20 }.map { $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: "[") } ?? false
        let advice = "move it away or name another file; nothing was changed"
        if isJSON, let queue = History.queue(of: file.path) {
            return SemaphoreError(.unusable, "\(file.path): is the history of \(queue); name the queue itself")
        }
        if mark.isThere {
            return SemaphoreError(
                .unusable,
                "\(file.path): is no semq queue any more, and somebody on another host may still hold what it was, as "
                    + "\(RemoteMark(of: file.path).path) tells; move it away: at a new one nobody is granted for "
                    + "\(Lease.longest.components.seconds) s; nothing was changed")
        }
        return SemaphoreError(
            .unusable,
            isJSON
                ? "\(file.path): is JSON, such as the Python MinimalCI kept its queues in; \(advice)"
                : "\(file.path): is not a semq queue, and nobody uses it as one; \(advice)")
    }

    /// A line for the record of one who waits, or nil if none of so many is free.
    func freeWaiterLine(for ticket: Ticket, of count: Int = QueueFile.waiterLines.count) -> Int? {
        let lines = QueueFile.waiterLines
        let first = Int(ticket.number % Int64(lines.count))
        return (0..<count).lazy.map { lines.lowerBound + (first + $0) % lines.count }
            .first { isFreeWaiterLine($0, for: ticket) }
    }

    /// Whether the record of one who waits, or waited, has a ticket's number. Looks at the first of the lines where it
    /// would stand.
    func isNamed(_ ticket: Ticket) -> Bool {
        let lines = QueueFile.waiterLines
        let line = lines.lowerBound + Int(ticket.number % Int64(lines.count))
        let record = QueueFile.record(WaiterRecord.self, at: line, from: description)
        return record?.ticket.number == ticket.number
    }

    func isFreeWaiterLine(_ line: Int, for ticket: Ticket) -> Bool {
        guard let record = QueueFile.record(WaiterRecord.self, at: line, from: description) else { return true }
        return record.ticket == ticket || !description.isAlive(record.ticket)
    }
}
