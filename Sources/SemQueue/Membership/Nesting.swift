internal import Glibc

/// The permits that a command runs under, handed down in the environment and verified in the queue.
///
/// An acquire inside a command whose ancestor holds the same queue would wait for itself for ever. It
/// runs under the ancestor's permit instead, and keeps that permit alive until it has ended.
package struct Nesting: Equatable, Sendable {
    /// The environment variables, a line for each permit: what everybody may see in the queue, and its secret. Two,
    /// because an older `semq` reads a line with more words as none.
    package static let variable = "SEMQ_HELD"
    package static let secretVariable = "SEMQ_PROOF"

    package struct Held: Equatable, Sendable {
        package var queue: UInt64
        package var ticket: Ticket
        package var token: Int64
        /// What proves that this process stands under it; nil where an older `semq` holds.
        package var secret: String?
        /// The host that keeps it, as the holder named it, a word of ``HostIdentity``; nil: this one.
        package var host: String?
        /// Of a permit that was handed down within this process, where nobody can forge it: makes the secret when a
        /// command is to have it.
        var grant: (any Grant)?

        /// It doesn't rest on what everybody may see.
        var isVerifiable: Bool { secret != nil || grant != nil }

        package static func == (left: Held, right: Held) -> Bool {
            (left.queue, left.ticket, left.token, left.secret, left.host)
                == (right.queue, right.ticket, right.token, right.secret, right.host)
        }
    }

    package var permits: [Held]

    package init(permits: [Held]) { self.permits = permits }

    /// What doesn't parse is left out: it can't be verified either.
    package init(environment: String?, secrets: String? = nil) {
        let lines = (secrets ?? "").split(separator: "\n").map { $0.split(separator: " ") }
        let proofs = lines.compactMap { words -> Held? in
            guard words.count == 4, let queue = UInt64(words[0], radix: 16), let token = Int64(words[1]) else {
                return nil
            }
            return Held(
                queue: queue, ticket: Ticket(priority: 0, number: 0), token: token, secret: String(words[2]),
                host: words[3] == "-"
                    ? nil : String(lines.first { $0.count == 3 && $0[..<2] == words[..<2] }?[2] ?? words[3]))
        }
        permits = (environment ?? "").split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count == 4, let queue = UInt64(words[0], radix: 16), let priority = Int(words[1]),
                let number = Int64(words[2]), let token = Int64(words[3]), Ticket.priorities.contains(priority),
                Ticket.numbers.contains(number)
            else { return nil }
            let proof = proofs.first { $0.queue == queue && $0.token == token }
            return Held(
                queue: queue, ticket: Ticket(priority: priority, number: number), token: token, secret: proof?.secret,
                host: proof?.host)
        }
    }

    package var environment: String {
        permits.map { "\(String($0.queue, radix: 16)) \($0.ticket.priority) \($0.ticket.number) \($0.token)" }
            .joined(by: "\n")
    }

    /// A line of four words for each, as older `semq`s read it, and then one of three, which those pass over, with all of the
    /// host's identity.
    package var secrets: String {
        permits.flatMap { held -> [String] in
            guard let secret = held.secret else { return [] }
            let turn = "\(String(held.queue, radix: 16)) \(held.token)"
            let host = held.host.map(HostIdentity.init(word:))
            let line = "\(turn) \(secret) \(host?.olderWord ?? "-")"
            return [line] + (host.flatMap { $0.account == nil ? nil : "\(turn) \($0.word)" }.map { [$0] } ?? [])
        }.joined(by: "\n")
    }

    /// For a command under this permit: a secret is made for it.
    package mutating func add(_ grant: any Grant) {
        var held = Held(queue: grant.queue, ticket: grant.ticket, token: grant.token)
        held.host = grant.host
        held.secret = grant.prove() ?? permits.first { $0.queue == held.queue && $0.token == held.token }?.secret
        permits.append(held)
    }

    /// Whom a holder belongs to: one that stands here, whatever can be proved.
    package func held(by ticket: Ticket, token: Int64) -> Held? {
        permits.first { $0.ticket == ticket && $0.token == token }
    }

    /// For what runs under this permit in this process.
    mutating func add(own grant: any Grant) -> Held {
        var held = Held(queue: grant.queue, ticket: grant.ticket, token: grant.token)
        held.grant = grant
        held.host = grant.host
        // On another host it has been made.
        if grant.host != nil { held.secret = grant.prove() }
        permits.append(held)
        return held
    }

    /// For a command.
    var proved: Nesting {
        var nesting = self
        for index in nesting.permits.indices where nesting.permits[index].secret == nil {
            nesting.permits[index].secret = nesting.permits[index].grant?.prove()
        }
        return nesting
    }

    // MARK: verifying

    /// What is wanted of a permit around.
    package struct Wanted {
        /// What the inner one asks for, if it asks.
        package var concurrency: Int?
        package var anyFilesystem = false
        /// A turn of an older `semq`, which has made no secret, doesn't count.
        package var needsSecret = false
        /// Who runs under it, for people; nil: nobody is told.
        package var party: Party?

        package init() {}
    }

    /// A permit of an ancestor's on this queue that still stands, kept standing by the result.
    /// - Throws: ``SemaphoreError`` if the file can't be opened, or was made with another concurrency; and where the
    ///   permit stands, but nothing proves that this process is under it: it would wait for itself.
    package func permit(on path: String, _ wanted: Wanted) throws -> Found? {
        guard !permits.isEmpty else { return nil }
        let options = QueueFile.Options(create: false, anyFilesystem: wanted.anyFilesystem)
        guard let description = try QueueFile.openIfThere(path, options) else { return nil }
        // Where the header is lost, or was made anew with another name, whoever holds goes on holding.
        let header = Book.header(from: description)
        for permit in permits where permit.isVerifiable || permit.queue == header?.queue {
            switch Self.settled(permit, in: description, wanted) {
            case .stands:
                // In this order: the holder first locks the byte for writing, then gives up the ticket. Who is under no
                // permit never holds it up.
                guard description.tryLock(.read, LockSpace.nested(permit.ticket)) else { continue }
                guard case .stands(let slot) = Self.verdict(on: permit, in: description, wanted) else {
                    description.unlock(LockSpace.nested(permit.ticket))
                    continue
                }
                try header?.check(asked: wanted.concurrency, at: path)
                if let party = wanted.party {
                    NestedRecord(queue: permit.queue, ticket: permit.ticket, since: .now(), party: party)
                        .tell(through: description)
                }
                return Found(nested: Nested(description), held: permit, slot: slot)
            case .isAnother: continue
            case .isNotProved: throw Self.notProved(path, permit)
            case .isUnreadable:
                throw SemaphoreError(
                    .io,
                    "\(path): the record of the turn around this command (ticket \(permit.ticket.number)) is damaged, and its "
                        + "holder hasn't written it again; try again")
            }
        }
        return nil
    }

    private enum Verdict: Equatable {
        case stands(slot: Int)
        case isAnother
        case isNotProved
        case isUnreadable
    }

    /// For so long a holder may take to write a damaged record again; it looks once a second.
    private static let mends = Duration.milliseconds(2500)

    private static func settled(_ permit: Held, in description: Description, _ wanted: Wanted) -> Verdict {
        let end = Duration.monotonic() + mends
        while true {
            let verdict = verdict(on: permit, in: description, wanted)
            guard verdict == .isUnreadable, .monotonic() < end else { return verdict }
            usleep(50_000)
        }
    }

    private static func verdict(on permit: Held, in description: Description, _ wanted: Wanted) -> Verdict {
        guard description.isAlive(permit.ticket) else { return .isAnother }
        if let grant = permit.grant as? LocalGrant {
            var info = stat()
            let isThis = fstat(description.descriptor, &info) == 0 && QueueFile.Identity(info) == grant.file.identity
            return isThis ? .stands(slot: grant.slot) : .isAnother
        }
        // Whatever stands in the file, the holder's lock is on this one.
        let isHere =
            permit.secret.map { secret in
                description.conflict(with: .read, in: Proof(Secret(text: secret)).lock) != nil
            } ?? false
        var isUnreadable = false
        for slot in description.heldSlots() {
            let line = QueueFile.slotLines.lowerBound + slot
            let record = QueueFile.record(SlotRecord.self, at: line, from: description)
            let proof = ProofRecord.at(slot, of: permit.ticket, token: permit.token, in: description)?.proof
            let isProved = proof?.isOf(permit.secret) ?? false
            if isProved, !isHere { return .isAnother }  // of which this file is a copy
            guard let holder = record?.holder else {
                // The secret alone proves it: its line tells the slot.
                if isProved { return .stands(slot: slot) }
                isUnreadable = isUnreadable || record == nil && (isHere || permit.secret == nil)
                continue
            }
            guard holder.ticket == permit.ticket, holder.token == permit.token else { continue }
            if isProved { return .stands(slot: slot) }
            if proof == nil, holder.isProved, isHere { return .isUnreadable }
            return proof == nil && !holder.isProved && !wanted.needsSecret ? .stands(slot: slot) : .isNotProved
        }
        return isUnreadable ? .isUnreadable : .isAnother
    }

    private static func notProved(_ path: String, _ permit: Held) -> SemaphoreError {
        SemaphoreError(
            .permission,
            "\(path): \(variable) names the turn of ticket \(permit.ticket.number), and \(secretVariable) doesn't prove that this "
                + "command is under it; hand both down (sudo --preserve-env=\(variable),\(secretVariable)), or neither")
    }

    /// An ancestor's permit that stands.
    package struct Found {
        package let nested: Nested
        package let held: Held
        package let slot: Int
    }

    /// Keeps an ancestor's permit from ending: as long as any process has the descriptor.
    package final class Nested: Sendable {
        private let description: Description

        fileprivate init(_ description: Description) { self.description = description }

        /// The same in a forked process, which has the descriptor too.
        package init(descriptor: Int32) { description = Description(owning: descriptor) }

        package var descriptor: Int32 { description.descriptor }

        package func release() { description.unlockAll() }
    }
}
