/// Those who hold a queue file that its path no longer names. They are at work still, and hear of it only after a while:
/// whoever waited behind them goes on at the new file when they have ended. No I/O.
struct FormerHolders {
    /// A slot that is held, or kept for a holder on another host who is gone.
    struct Occupied: Equatable {
        var slot: Int
        /// Of its last record; nil where that can't be read.
        var token: Int64?
    }

    /// The ones of the first look. Who comes later uses the file by another name, and is not waited for.
    private var first: [Occupied]?

    /// - Parameter occupied: the slots as they are now. The first look is sound only if this was seen under the old file's
    ///   mutex: whoever asked there whether the file is in place, and was told so, has been granted by then.
    /// - Returns: the slots of those who have not ended yet.
    mutating func look(_ occupied: [Occupied]) -> [Int] {
        let left = (first ?? occupied).filter { known in
            occupied.contains { now in
                now.slot == known.slot && (now.token == known.token || now.token == nil || known.token == nil)
            }
        }
        first = left
        return left.map(\.slot)
    }
}
