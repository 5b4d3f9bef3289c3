/// Bytes on their way, in order and once only, however often the connection is cut: what was sent is kept until
/// the other side has it, and sent again after a cut. No more than ``room`` is on its way at a time, so that
/// whoever reads slowly slows the other side down and never the heartbeats.
struct Window {
    /// The bytes on their way that stop the sender.
    static let room = 256 << 10
    static let largestPart = 32 << 10

    private var sent: [Message] = []
    private var lastSent: Int64 = 0
    private var lastTaken: Int64 = 0
    private var bytesOnTheWay = 0

    var hasRoom: Bool { bytesOnTheWay < Self.room }
    /// Whether the other side has all that was sent.
    var isEmpty: Bool { sent.isEmpty }

    /// A message to send, under the next number.
    mutating func number(_ verb: String, _ fields: [(name: String, value: String)] = [], body: [UInt8] = []) -> Message
    {
        lastSent += 1
        let message = Message(verb, [("n", "\(lastSent)")] + fields, body: body)
        sent.append(message)
        bytesOnTheWay += body.count
        return message
    }

    /// Whether a message that came is the next one; others came before.
    mutating func accepts(_ message: Message) -> Bool {
        guard let number = message.integer("n"), number == lastTaken + 1 else { return false }
        lastTaken = number
        return true
    }

    /// Tells the other side what has come.
    var receipt: Message { Message("have", [("n", "\(lastTaken)")]) }
    /// The same as a field of the request to resume.
    var taken: Int64 { lastTaken }

    /// The other side has everything up to a number.
    mutating func delivered(upTo number: Int64) {
        while let first = sent.first, (first.integer("n") ?? .max) <= number {
            bytesOnTheWay -= first.body.count
            sent.removeFirst()
        }
    }

    /// What is to be sent again after a cut, given what the other side has.
    mutating func again(after number: Int64) -> [Message] {
        delivered(upTo: number)
        return sent
    }
}
