internal import CSemQueue
internal import Glibc

/// One open file description of a queue file, and the locks that are tied to it.
///
/// The locks die with the last descriptor of the description, whoever has it: that is how the dead
/// leave the queue. Two descriptions in one process exclude each other like two processes.
final class Description: Sendable {
    let descriptor: Int32

    /// Takes over an open descriptor, and closes it with the last reference.
    init(owning descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// The path that the kernel knows the file by, links resolved. It changes when the file, or a folder above, is moved,
    /// even where we may not look, and when that name is deleted. Nil where there is no /proc, or it is too long.
    var kernelName: [UInt8]? {
        let name = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
            count = buffer.withMemoryRebound(to: CChar.self) { buffer in
                max(0, readlink("/proc/self/fd/\(descriptor)", buffer.baseAddress!, buffer.count))
            }
        }
        return name.isEmpty || name.count == Int(PATH_MAX) ? nil : name
    }

    enum LockType: Int32 {
        case read, write
    }

    /// Takes a lock if nothing stands in the way.
    func tryLock(_ type: LockType, _ span: LockSpace.Span) -> Bool {
        semq_lock(descriptor, type.rawValue, span.start, span.length, false) == 0
    }

    /// Waits for a lock, at most `limit`.
    /// - Returns: whether it was granted.
    func lock(_ type: LockType, _ span: LockSpace.Span, _ alarm: Alarm, _ limit: Duration?) -> Bool {
        func attempt(waiting: Bool) -> Int32 {
            semq_lock(descriptor, type.rawValue, span.start, span.length, waiting)
        }
        return alarm.limiting(limit, instead: { attempt(waiting: false) }) { attempt(waiting: true) } == 0
    }

    /// Removes this description's locks from the span.
    func unlock(_ span: LockSpace.Span) {
        _ = semq_lock(descriptor, SEMQ_UNLOCK, span.start, span.length, false)
    }

    /// Removes all of this description's locks, whichever process holds duplicates of it.
    func unlockAll() {
        _ = semq_lock(descriptor, SEMQ_UNLOCK, 0, 0, false)
    }

    /// Where another description's lock stands in the way of `type` in the span, or nil.
    /// The kernel names any such lock, not the lowest.
    func conflict(with type: LockType, in span: LockSpace.Span) -> Int64? {
        guard span.length > 0 else { return nil }
        var found: Int64 = -1
        let error = semq_lock_query(descriptor, type.rawValue, span.start, span.length, &found)
        return error == 0 && found >= 0 ? found : nil
    }

    /// The conflicts in the span, in order, as the even offsets of their two-byte cells; any `limit` of them.
    func conflicts(with type: LockType, in span: LockSpace.Span, limit: Int = .max) -> [Int64] {
        var found: [Int64] = []
        var open = [span]
        while found.count < limit, let next = open.popLast() {
            guard let offset = conflict(with: type, in: next) else { continue }
            let cell = offset & ~1
            found.append(cell)
            open.append(LockSpace.Span(start: cell + 2, length: next.end - cell - 2))
            open.append(LockSpace.Span(start: next.start, length: cell - next.start))
        }
        return found.sorted()
    }

    // MARK: what the locks mean

    /// The slots that are held by anybody else.
    func heldSlots() -> [Int] {
        conflicts(with: .read, in: LockSpace.slots).map(LockSpace.slot(at:))
    }

    /// Whether fewer than `concurrency` slots are held by anybody else; cheaper than counting all.
    func hasRoom(concurrency: Int) -> Bool {
        conflicts(with: .read, in: LockSpace.slots, limit: concurrency).count < concurrency
    }

    /// Whether the ticket's owner lives, waiting or holding.
    func isAlive(_ ticket: Ticket) -> Bool {
        conflict(with: .write, in: LockSpace.member(ticket)) != nil
    }

    /// All who wait, in their order.
    func waiting() -> [Ticket] {
        conflicts(with: .read, in: LockSpace.tickets).map(LockSpace.ticket(at:))
    }

    /// The nearest who waits ahead of the ticket, or nil when it is the head of the queue.
    ///
    /// Because the kernel names any lock of a range, this halves the range, galloping from the near
    /// end: one call for a head, two where the neighbour is alive, O(log n) where many have died.
    func nearestAhead(of ticket: Ticket) -> Ticket? {
        var range = LockSpace.ahead(of: ticket)
        guard var found = conflict(with: .read, in: range) else { return nil }
        while true {
            // Known: a conflict at `found`, nothing at or past range.end. Is there a nearer one?
            range = LockSpace.Span(start: (found & ~1) + 2, length: range.end - (found & ~1) - 2)
            guard range.length > 0 else { break }
            var width: Int64 = 2
            var nearer: Int64?
            while nearer == nil, range.length > 0 {
                let step = min(width, range.length)
                nearer = conflict(with: .read, in: LockSpace.Span(start: range.end - step, length: step))
                if nearer == nil { range.length -= step }
                width *= 8
            }
            guard let nearer else { break }
            found = nearer
        }
        return LockSpace.ticket(at: found)
    }

    /// Whether anybody waits who drew its number that much earlier, or comes first by its priority. Cheap where many
    /// wait: the kernel finds those first who came first.
    func isAnybody(ahead ticket: Ticket, by numbers: Int) -> Bool {
        let earlier = Ticket(priority: ticket.priority, number: max(0, ticket.number - Int64(numbers) + 1))
        let range = LockSpace.ahead(of: earlier)
        return range.length > 0 && conflict(with: .read, in: range) != nil
    }

    /// Up to `limit` of those who wait ahead of the ticket and have not been passed, the nearest first.
    func waitingAhead(of ticket: Ticket, except passed: [Ticket] = [], limit: Int) -> [Ticket] {
        var found: [Ticket] = []
        var next = ticket
        while found.count < limit, let nearer = nearestAhead(of: next) {
            if !passed.contains(nearer) { found.append(nearer) }
            next = nearer
        }
        return found
    }

    /// All whose tickets live, waiting or holding, in their order.
    func living() -> [Ticket] {
        conflicts(with: .write, in: LockSpace.tickets).map(LockSpace.ticket(at:))
    }
}
