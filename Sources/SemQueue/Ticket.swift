/// A member's turn in the queue: higher priority first, then first come, first served.
///
/// Tickets are drawn in rising order and not drawn again; where the queue file was damaged, the numbers go on far above
/// those before. ``number`` alone names a member.
public struct Ticket: Hashable, Sendable {
    /// From −1000 to 1000; higher is served first. 0 unless asked for.
    public let priority: Int
    /// Counts up from 1; from the seconds since 1970 in a file that was damaged.
    public let number: Int64

    package init(priority: Int, number: Int64) {
        self.priority = priority
        self.number = number
    }

    /// The priorities that a member may ask for.
    public static let priorities = -1000...1000

    /// The numbers that can be drawn: 35 years of a thousand each second, then they begin again.
    package static let numbers: Range<Int64> = 1..<(1 << 40)
}

extension Ticket: Comparable {
    /// The lesser ticket is served first.
    public static func < (left: Ticket, right: Ticket) -> Bool {
        left.priority != right.priority ? left.priority > right.priority : left.number < right.number
    }
}
