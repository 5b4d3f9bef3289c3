import Glibc
import Testing

@testable import SemQueue

/// Order and liveness, read from the kernel's locks.
@Suite struct DescriptionTests {
    private let folder = Folder()

    private func open() throws -> Description { try QueueFile.open(folder.path("q"), .init()).1 }

    private func waiter(_ number: Int64, priority: Int = 0) throws -> Description {
        let description = try open()
        #expect(description.tryLock(.write, LockSpace.placeAndMember(Ticket(priority: priority, number: number))))
        return description
    }

    @Test func theNearestAheadIsFoundWhereverTheOthersAre() throws {
        let view = try open()
        let numbers: [Int64] = [1, 2, 3, 5, 8, 13, 100, 101, 5_000, 70_000, 1 << 39]
        let waiters = try numbers.map { try waiter($0) }
        for (index, number) in numbers.enumerated() {
            let ahead = view.nearestAhead(of: Ticket(priority: 0, number: number))
            #expect(ahead?.number == (index == 0 ? nil : numbers[index - 1]))
        }
        #expect(view.nearestAhead(of: Ticket(priority: 0, number: 99))?.number == 13)
        #expect(view.waiting().map(\.number) == numbers)
        #expect(view.waitingAhead(of: Ticket(priority: 0, number: 100), limit: 3).map(\.number) == [13, 8, 5])
        let passed = [13, 5].map { Ticket(priority: 0, number: $0) }
        #expect(
            view.waitingAhead(of: Ticket(priority: 0, number: 100), except: passed, limit: 3).map(\.number) == [
                8, 3, 2,
            ])
        _ = waiters
    }

    @Test func whoIsFarBackIsToldByTheNumbers() throws {
        let view = try open()
        func isFarBack(_ number: Int64, priority: Int = 0) -> Bool {
            view.isAnybody(ahead: Ticket(priority: priority, number: number), by: 12)
        }
        #expect(!isFarBack(40))
        let first = try waiter(20)
        #expect([20, 21, 31, 32, 33].map { isFarBack($0) } == [false, false, false, true, true])
        // Higher priorities come first, however late they come.
        #expect(!isFarBack(32, priority: 1) && isFarBack(1, priority: -1))
        #expect(!isFarBack(1, priority: Ticket.priorities.upperBound))
        _ = first
    }

    @Test func theDeadAreGone() throws {
        let view = try open()
        let first = try waiter(1)
        var second: Description? = try waiter(2)
        let third = Ticket(priority: 0, number: 3)
        #expect(view.nearestAhead(of: third)?.number == 2)
        _ = second
        second = nil
        #expect(view.nearestAhead(of: third)?.number == 1)
        #expect(!view.isAlive(Ticket(priority: 0, number: 2)))
        _ = first
    }

    @Test func whoHoldsIsAliveAndNobodyWaitsBehindIt() throws {
        let view = try open()
        let holder = try waiter(1)
        #expect(holder.tryLock(.read, LockSpace.placeAndMember(Ticket(priority: 0, number: 1))))
        #expect(view.isAlive(Ticket(priority: 0, number: 1)))
        #expect(view.nearestAhead(of: Ticket(priority: 0, number: 2)) == nil)
        #expect(view.waiting().isEmpty)
    }

    @Test func aShortReadLockMakesNobodyLookAlive() throws {
        let view = try open()
        let dead = Ticket(priority: 0, number: 1)
        let successor = try open()
        #expect(successor.tryLock(.read, LockSpace.place(dead)))
        #expect(!view.isAlive(dead))
        #expect(view.waiting().isEmpty)
    }

    @Test func heldSlotsAreSeenAndReadLocksOnDoorbellsAreNot() throws {
        let view = try open()
        let holders = try [0, 1, 7].map { slot in
            let description = try open()
            #expect(description.tryLock(.write, LockSpace.holdAndDoorbell(slot)))
            return description
        }
        let listener = try open()
        #expect(listener.tryLock(.read, LockSpace.doorbell(3)))
        #expect(view.heldSlots() == [0, 1, 7])
        #expect(view.hasRoom(concurrency: 4))
        #expect(!view.hasRoom(concurrency: 3))
        // A listener that stands still on a doorbell keeps nobody from the slot.
        let next = try open()
        #expect(!next.tryLock(.write, LockSpace.holdAndDoorbell(3)))
        #expect(next.tryLock(.write, LockSpace.hold(3)))
        #expect(view.heldSlots() == [0, 1, 3, 7])
        _ = holders
    }

    @Test func anUnlockThroughOneDuplicateCountsForAll() throws {
        let view = try open()
        let holder = try open()
        #expect(holder.tryLock(.write, LockSpace.hold(0)))
        let duplicate = Description(owning: dup(holder.descriptor))
        duplicate.unlockAll()
        #expect(view.heldSlots().isEmpty)
    }
}

/// A folder that goes with its test.
final class Folder: Sendable {
    private let root: String

    init() {
        var template = Array("/tmp/semq-unit.XXXXXX".utf8CString)
        root = String(cString: mkdtemp(&template)!)
    }

    deinit {
        for name in ["q", "q.history", "q.history.1", "q.remote", "link"] { unlink(path(name)) }
        rmdir(root)
    }

    func path(_ name: String) -> String { root + "/" + name }
}
