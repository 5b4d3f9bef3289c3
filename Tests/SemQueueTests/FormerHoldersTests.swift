import Glibc
import Testing

@testable import SemQueue

/// Who is waited for when the queue file is gone.
@Suite struct FormerHoldersTests {
    private typealias Occupied = FormerHolders.Occupied

    private func left(_ looks: [[Occupied]]) -> [[Int]] {
        var holders = FormerHolders()
        return looks.map { holders.look($0) }
    }

    @Test func nobodyIsNotWaitedFor() { #expect(left([[]]) == [[]]) }

    @Test func eachIsWaitedForUntilItHasEnded() {
        let (a, b) = (Occupied(slot: 0, token: 5), Occupied(slot: 1, token: 6))
        #expect(left([[a, b], [a, b], [b], []]) == [[0, 1], [0, 1], [1], []])
    }

    /// It has come by another name of the file.
    @Test func aSuccessorIsNotWaitedFor() {
        let (old, new) = (Occupied(slot: 0, token: 5), Occupied(slot: 0, token: 9))
        #expect(left([[old], [new], [new]]) == [[0], [], []])
        #expect(left([[], [new]]) == [[], []])
        let other = Occupied(slot: 1, token: 9)
        #expect(left([[old], [old, other]]) == [[0], [0]])
    }

    /// Whoever can't be told from a successor is taken to be there still.
    @Test func aDamagedRecordEndsNobody() {
        let (known, unknown) = (Occupied(slot: 0, token: 5), Occupied(slot: 0, token: nil))
        #expect(left([[known], [unknown], [known], []]) == [[0], [0], [0], []])
        #expect(left([[unknown], [known], []]) == [[0], [0], []])
    }

    /// A holder on another host is gone without a word: its slot is kept in the file that was replaced, too.
    @Test func aLeaseIsOutlastedToo() throws {
        let bench = LeaseBench()
        let holder = try #require(try bench.attempt(lease: .seconds(15)))
        let waiter = try bench.waiter("w")
        bench.lose(holder)
        let other = bench.folder.path("other")
        _ = try Administration(other, create: true).setConcurrency(1)
        #expect(rename(other, bench.path) == 0)
        let waits = waiter.observer.waits
        try LeaseWaiter.settled { waiter.observer.waits >= waits + 3 || waiter.hasEnded }
        #expect(!waiter.hasEnded)
        bench.advance(.seconds(16))
        let grant = try waiter.granted()
        #expect(grant.slot == 0)
    }
}
