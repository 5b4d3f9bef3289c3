internal import Glibc
internal import SSHTransport

/// What proves that a process stands under a turn: a secret that its holder hands down in the environment, and of which
/// the queue keeps the digest alone. Whoever sees ticket and token in `semq status` has no secret.
struct Proof: Equatable, Sendable {
    /// Of the secret, as hexadecimal digits.
    let digest: String

    init(_ secret: Secret) { digest = Self.digest(secret.text) }

    /// As it was read; nil for what is no digest.
    init?(digest: String) {
        guard digest.utf8.count == 64, digest.utf8.allSatisfy({ Hexadecimal.value([$0]) != nil }) else { return nil }
        self.digest = digest
    }

    private static func digest(_ text: String) -> String {
        let digits = SHA256.hash(Array(text.utf8)).flatMap { Hexadecimal.digits(UInt64($0), count: 2) }
        return String(decoding: digits, as: UTF8.self)
    }

    /// Locked by the holder: copies of the file have the digest, and not this lock.
    var lock: LockSpace.Span {
        LockSpace.proof(Hexadecimal.value(Array(digest.utf8.prefix(LockSpace.proofDigits))[...]) ?? 0)
    }

    /// Whether it is of this secret, in a time that doesn't tell where they differ.
    func isOf(_ secret: String?) -> Bool {
        guard let secret else { return false }
        return Secret(text: digest).matches(Self.digest(secret))
    }
}

/// The proof of the turn at one slot, as a line of its own: an older `semq` reads a slot's record with one more field as
/// none.
struct ProofRecord: Equatable {
    var queue: UInt64
    var ticket: Ticket
    var token: Int64
    var proof: Proof
}

extension ProofRecord: LineRecord {
    init?(line: ArraySlice<UInt8>) {
        guard var reader = Line.Reader("proof", line), let queue = reader.queue(), let ticket = reader.ticket(),
            let token = reader.integer("token"), let proof = reader.word("sha256").flatMap(Proof.init(digest:))
        else { return nil }
        self.init(queue: queue, ticket: ticket, token: token, proof: proof)
    }

    var line: [UInt8] {
        var writer = Line.Writer("proof")
        writer.queue(queue)
        writer.ticket(ticket)
        writer.field("token", token)
        writer.field("sha256", proof.digest)
        return writer.finish()
    }

    /// Of the turn at a slot, if its line can be read and is of that turn.
    static func at(_ slot: Int, of ticket: Ticket, token: Int64, in description: Description) -> ProofRecord? {
        let record = QueueFile.record(ProofRecord.self, at: QueueFile.proofLine(ofSlot: slot), from: description)
        return record.flatMap { $0.ticket == ticket && $0.token == token ? $0 : nil }
    }
}
