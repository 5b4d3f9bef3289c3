/// Finds out whether two names mean one queue: a lock that is taken by the one is seen by the other. Nothing else tells:
/// a queue's random name is copied with its file, and device and inode differ between views of one file.
package struct QueueProbe: Equatable, Sendable {
    /// Where the other side is asked to look.
    var area: Int64
    /// Where in the area the lock is. Whoever looks isn't told, so that a host can't claim to see what it doesn't.
    var offset: Int64

    static func random() -> QueueProbe {
        QueueProbe(area: .random(in: 0..<LockSpace.probeAreas), offset: .random(in: 0..<LockSpace.probeArea))
    }

    /// Where to lock; nil for what lies outside of the probes' region.
    private static func span(_ area: Int64, _ offset: Int64, length: Int64) -> LockSpace.Span? {
        guard (0..<LockSpace.probeAreas).contains(area), (0..<LockSpace.probeArea).contains(offset) else { return nil }
        return LockSpace.Span(start: LockSpace.probes.start + area * LockSpace.probeArea + offset, length: length)
    }

    /// Takes the lock. It lasts as long as what is returned.
    func place(on path: String) throws(SemaphoreError) -> Placed {
        let description = try Self.open(path)
        guard let span = Self.span(area, offset, length: 1), description.tryLock(.write, span) else {
            throw SemaphoreError(.usage, "\(path): a probe at a place where there can be none")
        }
        return Placed(description)
    }

    /// Where in the area a lock is seen; nil where there is none.
    static func look(in area: Int64, of path: String) throws(SemaphoreError) -> Int64? {
        guard let span = span(area, 0, length: LockSpace.probeArea) else { return nil }
        return try open(path).conflict(with: .read, in: span).map { $0 - span.start }
    }

    private static func open(_ path: String) throws(SemaphoreError) -> Description {
        try QueueFile.open(path, QueueFile.Options(create: false, anyFilesystem: true)).1
    }

    /// A probe's lock.
    package final class Placed: Sendable {
        private let description: Description

        fileprivate init(_ description: Description) { self.description = description }
    }
}
