/// Which number a ticket gets. No I/O; time is passed in.
///
/// A number names a member, and what is left for it in the file: notes, places on the list of those passed. So none is
/// drawn that something in the file still names, whoever recovered the header, or failed to write it.
enum Numbering {
    /// The number to draw after `last`. Past the end, which takes decades, they begin again.
    /// - Parameter named: what nobody may be called who comes now.
    static func next(after last: Int64, avoiding named: [Int64]) -> Int64 {
        var number = last
        repeat {
            number = Ticket.numbers.contains(number + 1) ? number + 1 : Ticket.numbers.lowerBound
        } while named
            .contains(number)
        return number
    }

    /// What counts as drawn where the header was lost: far above all that can still be read. What can't be read any more
    /// may be told elsewhere: in somebody's terminal, or in the message of one who is just about to end a turn. The
    /// seconds since 1970 are more than any queue has drawn; the rest tells one recovery from the next.
    static func restart(after known: Int64, at now: Timestamp, gap: Int64 = .random(in: gaps)) -> Int64 {
        let start = max(known, now.microseconds / 1_000_000) + gap
        return Ticket.numbers.contains(start) ? start : max(0, known)
    }

    static let gaps: ClosedRange<Int64> = 1_000...1_000_000
}

extension Header {
    /// A ticket of this number was drawn.
    mutating func drew(_ number: Int64) {
        // One that is half of all numbers ahead was drawn before they began again.
        guard number > lastTicket, number - lastTicket < Ticket.numbers.upperBound / 2 else { return }
        lastTicket = number
    }
}
