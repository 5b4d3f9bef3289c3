/// What a client must have heard before its agent forgets it: how its wait or its turn has ended. Told a second time to
/// one that was cut off meanwhile. No I/O.
struct LastWord: Equatable {
    let message: Message
    /// Whether it is kept for a client that is cut off, until its lease is over.
    let isKept: Bool

    /// A client says ``Message/confirmation`` when it has heard how its wait has ended. One of an older version leaves
    /// without a word, and looks like one that was cut off: for it only that is kept without which it would go on against
    /// somebody's will. Told anything else, or told nothing and asking anew, it comes to the same.
    init(outcome: Message, confirms: Bool) {
        message = outcome
        isKept = confirms || outcome.verb == "removed"
    }

    /// The answer to a goodbye.
    init(goodbye: Message) {
        message = Message("bye")
        isKept = goodbye.flag("confirms")
    }

    enum Action: Equatable {
        /// It may not have heard yet.
        case stay
        /// It has left on its part, and is to be told so.
        case bye
        /// It has heard.
        case end
        /// It has heard, and asks for something else.
        case endBefore
    }

    /// What something means that the client says.
    func hear(_ message: Message) -> Action {
        switch message.verb {
        case _ where message.isConfirmation: .end
        case "beat", "take", "remark": .stay
        case "goodbye": .bye
        default: .endBefore
        }
    }
}

extension Message {
    /// An older agent takes it for an answer that comes late, and leaves it alone.
    static let confirmation = Message("take", [("over", "1")])

    fileprivate var isConfirmation: Bool { verb == "take" && flag("over") }
}
