/// What is known of whether a client is still there to take its turn: it is asked by number, and the newest answer alone
/// counts. No I/O; time is passed in.
struct Readiness {
    /// Of its lease.
    let length: Duration
    private var asked: [(number: Int64, at: Duration)] = []
    private var number: Int64 = 0
    private var confirmed: Int64 = 0
    /// How long the newest answer took, one that came too late also.
    private var took = Duration.zero

    init(length: Duration) { self.length = length }

    /// - Returns: the number of a question that is asked now.
    mutating func ask(at now: Duration) -> Int64 {
        number += 1
        asked = (asked + [(number, now)]).suffix(8)
        return number
    }

    /// A client has answered. Numbers that it was not asked by mean nothing.
    mutating func answered(_ number: Int64, at now: Duration) {
        guard let question = asked.last(where: { $0.number == number }) else { return }
        took = now - question.at
        confirmed = max(confirmed, number)
        asked.removeAll { $0.number <= number }
    }

    /// Whether the newest question was answered.
    var isConfirmed: Bool { number > 0 && confirmed == number }

    /// How long an answer may take, while others wait behind: a second, and more where the way there and back is known to
    /// take so long. A client that has no connection as fast as a third of its lease says nothing anyway.
    var patience: Duration { min(max(.seconds(1), took * 3 / 2 + .milliseconds(500)), max(.seconds(1), length / 3)) }

    /// When the newest question has waited for long enough.
    var end: Duration { (asked.last?.at ?? .zero) + patience }
}
