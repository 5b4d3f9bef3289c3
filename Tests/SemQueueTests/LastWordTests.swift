import Testing

@testable import SemQueue

/// What an agent keeps for a client that may not have heard how its wait or its turn has ended.
@Suite struct LastWordTests {
    private static let removed = Message("removed", [("by", "ann"), ("reason", "lunch")])

    @Test func whoConfirmsFindsItAgain() {
        for verb in ["busy", "paused", "full", "timed-out", "removed", "error"] {
            #expect(LastWord(outcome: Message(verb), confirms: true).isKept)
        }
    }

    /// One of an older version says nothing, whether it has heard or not: only what it must not miss is worth a process.
    @Test func forWhoDoesNotConfirmOnlyARemovalIsKept() {
        for verb in ["busy", "paused", "full", "timed-out", "error"] {
            #expect(!LastWord(outcome: Message(verb), confirms: false).isKept)
        }
        #expect(LastWord(outcome: Self.removed, confirms: false).isKept)
        #expect(!LastWord(goodbye: Message("goodbye")).isKept)
        #expect(LastWord(goodbye: Message("goodbye", [("confirms", "1")])).isKept)
    }

    @Test(arguments: [
        (Message.confirmation, LastWord.Action.end), (Message("take", [("number", "1")]), .stay),
        (Message("beat", [("number", "7")]), .stay), (Message("remark", [("text", "over=1")]), .stay),
        (Message("goodbye"), .bye), (Message("acquire"), .endBefore), (Message("status"), .endBefore),
    ]) func whatItSaysThen(_ message: Message, _ action: LastWord.Action) {
        #expect(LastWord(outcome: Self.removed, confirms: true).hear(message) == action)
    }

    /// Whoever has it is asked to say the same again.
    @Test func aRequestThatCameTooEarlyIsReceivedOnceMore() {
        let stream = Stream(input: -1, output: -1)
        stream.putBack(Message("acquire", [("path", "q")]))
        guard case .message(let message) = stream.receive() else {
            Issue.record("nothing")
            return
        }
        #expect(message == Message("acquire", [("path", "q")]))
        if case .message = stream.receive() { Issue.record("twice") }
    }
}
