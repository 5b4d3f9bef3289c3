internal import Glibc

/// The lines by which one member tells another that its turn is ended.
enum Notes {
    static func forTicket(_ ticket: Ticket, in description: Description) -> Note? {
        QueueFile.records(Note.self, in: QueueFile.noteLines, from: description)
            .lazy.map(\.record).first { $0.ticket == ticket }
    }

    /// The numbers that notes name, whoever they were for. Costs a byte where there has never been one.
    static func numbers(in description: Description) -> [Int64] {
        // The first line is the first to be written, and nobody blanks it again.
        var first = UInt8(ascii: " ")
        let start = off_t(QueueFile.noteLines.lowerBound * Line.length)
        guard pread(description.descriptor, &first, 1, start) == 1, first != UInt8(ascii: " ") else { return [] }
        return QueueFile.records(Note.self, in: QueueFile.noteLines, from: description).map(\.record.ticket.number)
    }

    enum Outcome {
        case left
        /// As many living tickets have one as there are lines for them.
        case full
        /// errno tells why.
        case failed
    }

    /// Puts a note where no living ticket's note stands. Under the mutex.
    static func put(_ note: Note, to description: Description) -> Outcome {
        let taken = QueueFile.records(Note.self, in: QueueFile.noteLines, from: description)
            .filter { $0.record.ticket != note.ticket && description.isAlive($0.record.ticket) }
        guard let line = QueueFile.noteLines.first(where: { line in !taken.contains { $0.line == line } }) else {
            return .full
        }
        return QueueFile.write(note.line, at: line, to: description) ? .left : .failed
    }
}
