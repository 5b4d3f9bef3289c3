import Glibc
import Testing

@testable import SemQueue

/// Those who take several queues climb in the order of the queues' names.
@Suite struct SeveralOrderTests {
    private func rename(_ bench: LeaseBench, _ name: UInt64) throws {
        var header = try #require(try bench.header())
        header.queue = name
        #expect(QueueFile.write(header, to: try QueueFile.open(bench.path, .init(create: false)).1))
    }

    /// Takes both on a thread, until it holds the first and waits for the second.
    /// - Returns: how it has ended, once it has.
    private func climbing(
        _ low: LeaseBench, _ high: LeaseBench, _ observer: LeaseObserver
    ) throws -> Guarded<Result<SeveralOutcome, any Error>?> {
        let ended = Guarded<Result<SeveralOutcome, any Error>?>(nil)
        try BlockingThread.start {
            let result = Result {
                try Several.all(
                    [LocalSemaphore(low.path), LocalSemaphore(high.path)], low.request("both"), observer: observer)
            }
            ended.withLock { $0 = result }
        }.detach()
        try LeaseWaiter.settled { try low.status().holders.count == 1 && high.status().waiting.count == 1 }
        return ended
    }

    /// A header that was lost with all its records is made anew by another name. Who holds one and waits for the next
    /// gives it back then, and follows the new order: in the old one it might wait in a circle with those who come now.
    @Test func aNameThatChangesOnTheWayIsFollowed() throws {
        let (low, high) = (LeaseBench(), LeaseBench())
        for (bench, name) in [(low, 100), (high, 200)] as [(LeaseBench, UInt64)] {
            try #require(try bench.attempt()).release()
            try rename(bench, name)
        }
        let holder = try #require(try high.attempt())
        let observer = LeaseObserver()
        let ended = try climbing(low, high, observer)

        try rename(low, 300)
        try LeaseWaiter.settled { try low.status().holders.isEmpty && high.status().waiting.count == 1 }
        #expect(ended.withLock { $0 == nil })

        holder.release()
        try LeaseWaiter.settled { ended.withLock { $0 != nil } }
        guard case .granted(let grants)? = try ended.withLock({ try $0?.get() }) else {
            Issue.record("not granted")
            return
        }
        #expect(grants.map(\.path) == [low.path, high.path])
        for grant in grants { grant.release() }
    }

    /// The new file's name may change the order, too: who holds the old one is waited for all the same.
    @Test func whoHoldsAFormerFileIsWaitedForThoughTheOrderHasChanged() throws {
        let (low, high, other) = (LeaseBench(), LeaseBench(), LeaseBench())
        for (bench, name) in [(low, 100), (high, 200), (other, 50)] as [(LeaseBench, UInt64)] {
            try #require(try bench.attempt()).release()
            try rename(bench, name)
        }
        let holder = try #require(try high.attempt())
        let observer = LeaseObserver()
        let ended = try climbing(low, high, observer)

        try #require(Glibc.rename(other.path, high.path) == 0)
        let waits = observer.waits
        try LeaseWaiter.settled { observer.waits >= waits + 4 || ended.withLock { $0 != nil } }
        #expect(ended.withLock { $0 == nil }, "its turn would be beside the holder's")
        holder.release()
        try LeaseWaiter.settled { ended.withLock { $0 != nil } }
        guard case .granted(let grants)? = try ended.withLock({ try $0?.get() }) else {
            Issue.record("not granted")
            return
        }
        for grant in grants { grant.release() }
    }
}
