/// The permits that a command runs under, handed down in the environment and verified in the queue.
///
/// An acquire inside a command whose ancestor holds the same queue would wait for itself for ever. It
/// runs under the ancestor's permit instead, and keeps that permit alive until it has ended.
package struct Nesting: Equatable, Sendable {
    /// The environment variable: one line for each permit.
    package static let variable = "SEMQ_HELD"

    package struct Held: Equatable, Sendable {
        package var queue: UInt64
        package var ticket: Ticket
        package var token: Int64
    }

    package var permits: [Held]

    package init(permits: [Held]) { self.permits = permits }

    /// What doesn't parse is left out: it can't be verified either.
    package init(environment: String?) {
        permits = (environment ?? "").split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count == 4, let queue = UInt64(words[0], radix: 16), let priority = Int(words[1]),
                let number = Int64(words[2]), let token = Int64(words[3]), Ticket.priorities.contains(priority),
                Ticket.numbers.contains(number)
            else { return nil }
            return Held(queue: queue, ticket: Ticket(priority: priority, number: number), token: token)
        }
    }

    package var environment: String {
        permits.map { "\(String($0.queue, radix: 16)) \($0.ticket.priority) \($0.ticket.number) \($0.token)" }
            .joined(by: "\n")
    }

    package mutating func add(_ grant: any Grant) {
        permits.append(Held(queue: grant.queue, ticket: grant.ticket, token: grant.token))
    }

    /// A permit of an ancestor's on this queue that still stands, kept standing by the result.
    /// - Parameter concurrency: what the inner one asks for, if it asks.
    /// - Throws: ``SemaphoreError`` if the file can't be opened, or was made with another concurrency.
    package func permit(on path: String, anyFilesystem: Bool, concurrency: Int? = nil) throws -> Found? {
        guard !permits.isEmpty else { return nil }
        let options = QueueFile.Options(create: false, anyFilesystem: anyFilesystem)
        guard let description = try QueueFile.openIfThere(path, options) else { return nil }
        guard let header = Book.header(from: description) else { return nil }
        for permit in permits where permit.queue == header.queue {
            // In this order: the holder first locks the byte for writing, then gives up the ticket.
            guard description.tryLock(.read, LockSpace.nested(permit.ticket)) else { continue }
            let slot = description.heldSlots().first { slot in
                let line = QueueFile.slotLines.lowerBound + slot
                guard let holder = QueueFile.record(SlotRecord.self, at: line, from: description)?.holder else {
                    return true  // the record is damaged; the ticket's own lock still counts
                }
                return holder.ticket == permit.ticket && holder.token == permit.token
            }
            if let slot, description.isAlive(permit.ticket) {
                try header.check(asked: concurrency, at: path)
                return Found(nested: Nested(description), held: permit, slot: slot)
            }
            description.unlock(LockSpace.nested(permit.ticket))
        }
        return nil
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
