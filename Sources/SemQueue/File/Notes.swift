/// The lines by which one member tells another that its turn is ended.
enum Notes {
    static func forTicket(_ ticket: Ticket, in description: Description) -> Note? {
        QueueFile.records(Note.self, in: QueueFile.noteLines, from: description)
            .lazy.map(\.record).first { $0.ticket == ticket }
    }

    /// Puts a note where no living ticket's note stands. Under the mutex.
    /// - Returns: false when all lines are taken or the disk is full.
    static func put(_ note: Note, to description: Description) -> Bool {
        let taken = QueueFile.records(Note.self, in: QueueFile.noteLines, from: description)
            .filter { $0.record.ticket != note.ticket && description.isAlive($0.record.ticket) }
        guard let line = QueueFile.noteLines.first(where: { line in !taken.contains { $0.line == line } }) else {
            return false
        }
        return QueueFile.write(note.line, at: line, to: description)
    }
}
