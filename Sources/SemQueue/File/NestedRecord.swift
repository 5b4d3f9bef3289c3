/// Who runs under somebody else's turn, from further inside: for people. It counts as long as its line is locked.
struct NestedRecord: Equatable {
    var queue: UInt64
    /// Whose turn it is.
    var ticket: Ticket
    var since: Timestamp
    var party: Party
}

extension NestedRecord: LineRecord {
    init?(line: ArraySlice<UInt8>) {
        guard var reader = Line.Reader("nested", line), let queue = reader.queue(), let ticket = reader.ticket(),
            let since = reader.integer("since"), let party = reader.party()
        else { return nil }
        self.init(queue: queue, ticket: ticket, since: Timestamp(since), party: party)
    }

    var line: [UInt8] {
        var writer = Line.Writer("nested")
        writer.queue(queue)
        writer.ticket(ticket)
        writer.field("since", since.microseconds)
        writer.party(party)
        return writer.finish()
    }

    /// Writes it where no other's stands. With all lines taken, or on a full disk, nobody is told of it.
    func tell(through description: Description) {
        for line in QueueFile.nestedLines
        where description.tryLock(.write, LockSpace.nestedLine(line - QueueFile.nestedLines.lowerBound)) {
            QueueFile.write(self.line, at: line, to: description)
            return
        }
    }

    /// All that stand, but for those of `description`'s own. Costs one question where there is none.
    static func all(in description: Description) -> [NestedRecord] {
        let found = description.conflicts(with: .read, in: LockSpace.nestedLines)
        return found.compactMap { offset in
            let line = QueueFile.nestedLines.lowerBound + LockSpace.nestedLine(at: offset)
            return QueueFile.record(NestedRecord.self, at: line, from: description)
        }
    }
}
