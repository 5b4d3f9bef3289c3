internal import Synchronization

/// Waits until one of several slots is given back. The kernel lets a thread wait for one lock only,
/// so there is a thread for each slot, kept from one look to the next until ``stop()``.
final class SlotWatch {
    /// More slots than this are looked at by the clock.
    static let maximumThreads = 16
    private static let looksWithoutThreads = Duration.milliseconds(5)

    private struct Watcher {
        let alarm: Alarm
        let thread: BlockingThread
        let isDone: Flag
    }

    private final class Flag: Sendable {
        let value = Atomic(false)
    }

    private var watchers: [Int: Watcher] = [:]
    private let gate: Gate

    init(_ gate: Gate) { self.gate = gate }

    deinit { stop() }

    /// Sleeps until one of the slots is given back, `limit` has passed or `alarm` ends the wait.
    func await(_ slots: [Int], _ alarm: Alarm, _ limit: Duration) {
        if slots.count == 1 {
            stop()
            gate.awaitSlot(slots[0], alarm, limit)
            return
        }
        let watched = slots.prefix(Self.maximumThreads)
        stop { !watched.contains($0) }
        let all = watched.allSatisfy { watch($0, waking: alarm) } && watched.count == slots.count
        alarm.sleep(all ? limit : min(limit, Self.looksWithoutThreads))
        stop { watchers[$0]!.isDone.value.load(ordering: .acquiring) }
    }

    /// Ends all threads, and returns when they are gone: none may be there when this process forks.
    func stop() { stop { _ in true } }

    private func watch(_ slot: Int, waking owner: Alarm) -> Bool {
        guard watchers[slot] == nil else { return true }
        let alarm = Alarm()
        let isDone = Flag()
        let gate = gate
        let thread = try? BlockingThread.start {
            while !gate.awaitSlot(slot, alarm, .seconds(3600)), !alarm.isRung {}
            isDone.value.store(true, ordering: .releasing)
            owner.nudge()
        }
        guard let thread else { return false }
        watchers[slot] = Watcher(alarm: alarm, thread: thread, isDone: isDone)
        return true
    }

    private func stop(_ chosen: (Int) -> Bool) {
        let ending = watchers.filter { chosen($0.key) }
        for watcher in ending.values { watcher.alarm.ring() }
        for (slot, watcher) in ending {
            watcher.thread.join()
            watchers[slot] = nil
        }
    }
}
