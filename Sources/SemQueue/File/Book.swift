internal import Glibc

/// The records of a queue as its mutex's holder keeps them: making, reading and mending the header.
struct Book {
    let file: QueueFile
    let description: Description
    /// The file was made by this process just now.
    let made: Bool

    enum Found {
        case sound(Header)
        case made(Header)
        case recovered(Header)
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
    /// - Throws: ``SemaphoreError`` where the file is somebody else's, or can't be made.
    func header(concurrency: Int?, isMember: Bool = false) throws(SemaphoreError) -> Found {
        if let header = QueueFile.header(from: description) { return .sound(header) }
        var info = stat()
        guard fstat(description.descriptor, &info) == 0 else { throw .system(.io, "can't look at", file.path) }
        let isUsed = isMember || !description.waiting().isEmpty || !description.heldSlots().isEmpty
        if info.st_size == 0, !isUsed { return .made(try make(concurrency: concurrency ?? 1)) }
        let slots = QueueFile.records(SlotRecord.self, in: QueueFile.slotLines, from: description).map(\.record)
        let waiters = QueueFile.records(WaiterRecord.self, in: QueueFile.waiterLines, from: description).map(\.record)
        let known = slots.first?.queue ?? waiters.first?.queue
        guard isUsed || known != nil || beginsAsQueue else { throw foreign() }
        let tickets = description.living() + waiters.map(\.ticket) + slots.compactMap { $0.holder?.ticket }
        var header = Header(queue: known ?? .random(in: 1...(.max)), origin: .recovered)
        header.lastTicket = tickets.map(\.number).max() ?? 0
        header.lastToken = slots.compactMap { $0.holder?.token }.max() ?? 0
        QueueFile.write(header, to: description)
        History(of: file.path).append(.headerLost, at: .now(), [("concurrency", .integer(1))])
        return .recovered(header)
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
        let lines = QueueFile.slotLines.lowerBound + concurrency
        let content = header.line + header.line + Array(repeatElement(Self.blank, count: lines - 2).joined())
        guard !QueueFile.write(content, at: 0, to: description) else { return header }
        let error = SemaphoreError.system(.cannotCreate, "can't write", file.path)
        // A file that others may rely on already is used without records; a fresh one is refused, and
        // left empty as if it had only been touched.
        guard made else { return header }
        ftruncate(description.descriptor, 0)
        throw error
    }

    private func foreign() -> SemaphoreError {
        let start = QueueFile.readLines(0..<1, from: description).prefix(64)
        let isJSON = start.first { $0 > 0x20 }.map { $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: "[") } ?? false
        let advice = "move it away or name another file; nothing was changed"
        return SemaphoreError(
            .unusable,
            isJSON
                ? "\(file.path): is JSON, such as the Python MinimalCI kept its queues in; \(advice)"
                : "\(file.path): is not a semq queue, and nobody uses it as one; \(advice)")
    }

    /// A line for the record of one who waits, or nil if as many wait as there are lines.
    func freeWaiterLine(for ticket: Ticket) -> Int? {
        let lines = QueueFile.waiterLines
        let first = Int(ticket.number % Int64(lines.count))
        return (0..<lines.count).lazy.map { lines.lowerBound + (first + $0) % lines.count }.first { line in
            guard let record = QueueFile.record(WaiterRecord.self, at: line, from: description) else { return true }
            return record.ticket == ticket || !description.isAlive(record.ticket)
        }
    }
}
