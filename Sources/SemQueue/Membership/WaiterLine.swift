/// The record of one who waits, and the line of the queue file where it stands. It tells people who waits and why;
/// the place itself is the kernel's.
struct WaiterLine {
    private var record: WaiterRecord
    private var line: Int

    init(_ record: WaiterRecord, at line: Int) { (self.record, self.line) = (record, line) }

    /// How many lines are looked at under the mutex; the first is free unless thousands wait.
    static let near = 8

    /// - Returns: whether it could be written; if not, why is in errno.
    func write(to book: Book) -> Bool { QueueFile.write(record.line, at: line, to: book.description) }

    /// Looks whether the record still stands there, and writes it again if it doesn't. Costs a read.
    /// - Returns: false where that can't be done, with the reason in errno.
    mutating func mend(in book: Book) -> Bool {
        let found = QueueFile.record(WaiterRecord.self, at: line, from: book.description)
        guard found?.ticket != record.ticket else { return true }
        // While it was damaged somebody else may have taken its line. Two who mend at once and choose the same
        // one see that at the next look.
        if found != nil, !book.isFreeWaiterLine(line, for: record.ticket) {
            guard let free = book.freeWaiterLine(for: record.ticket, of: Self.near) else { return true }
            line = free
        }
        // A header that was recovered without any record has a new name.
        record.queue = Book.header(from: book.description)?.queue ?? record.queue
        return write(to: book)
    }

    /// The record of one who waits, if it stands near where it belongs.
    static func record(of ticket: Ticket, in book: Book) -> WaiterRecord? {
        let first = QueueFile.waiterLines.lowerBound + Int(ticket.number % Int64(QueueFile.waiterLines.count))
        let lines = (first..<(first + near)).clamped(to: QueueFile.waiterLines)
        return QueueFile.records(WaiterRecord.self, in: lines, from: book.description).lazy.map(\.record)
            .first { $0.ticket == ticket }
    }

    func clear(in book: Book) { QueueFile.write(Book.blank, at: line, to: book.description) }
}
