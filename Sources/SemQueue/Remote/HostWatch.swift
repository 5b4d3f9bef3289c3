/// Looks at the queues of one host again and again, over one connection and in a thread of its own: a host that
/// is slow or gone holds up nobody.
package final class HostWatch: Sendable {
    private let semaphores: [RemoteSemaphore]
    private let state: Guarded<State>

    private struct State {
        /// As last seen, by the name of the queue.
        var statuses: [String: QueueStatus]
        /// When all was answered last.
        var seen = Moment()
        var cutSince: Moment?
        var news: [String] = []
        var failure: SemaphoreError?
    }

    private struct Moment {
        /// For people.
        let time = Timestamp.now()
        /// For spans: the wall clock may be set meanwhile.
        let sinceBoot = Duration.sinceBoot()
    }

    /// From the end of one look to the next. An answer may be a megabyte.
    private static let interval = Duration.milliseconds(500)
    private static let retryInterval = Duration.seconds(1)

    /// Begins to look.
    /// - Parameters:
    ///   - semaphores: queues of the same host.
    ///   - statuses: how they looked just now.
    /// - Throws: ``SemaphoreError`` when there can be no more threads.
    package init(_ semaphores: [RemoteSemaphore], _ statuses: [QueueStatus]) throws(SemaphoreError) {
        self.semaphores = semaphores
        state = Guarded(State(statuses: Dictionary(statuses.map { ($0.semaphore, $0) }) { first, _ in first }))
        try BlockingThread.start { [self] in
            while look() {}
        }.detach()
    }

    /// How a queue looked when it was seen last.
    /// - Throws: ``SemaphoreError`` when it can't be seen any more, whatever the connection does.
    package func status(of name: String) throws(SemaphoreError) -> QueueStatus? {
        let (status, failure) = state.withLock { ($0.statuses[name], $0.failure) }
        if let failure { throw failure }
        return status
    }

    /// Since when there has been no connection; nil while there is one.
    package var cutSince: Timestamp? { state.withLock { $0.cutSince?.time } }

    /// What people should know and have not been told.
    package func news() -> [String] {
        state.withLock { state in
            defer { state.news = [] }
            return state.news
        }
    }

    // MARK: the thread

    /// - Returns: whether to go on.
    private func look() -> Bool {
        let alarm = Alarm()
        do {
            for semaphore in semaphores {
                let status = try semaphore.status(alarm, isAttended: false)
                state.withLock { $0.statuses[semaphore.name] = status }
            }
            heal()
            alarm.sleep(Self.interval)
            return true
        } catch let error as SemaphoreError where error.code != .unreachable {
            state.withLock { $0.failure = error }
            return false
        } catch {
            cut(error as? SemaphoreError)
            alarm.sleep(Self.retryInterval)
            return true
        }
    }

    private func cut(_ error: SemaphoreError?) {
        state.withLock { state in
            guard state.cutSince == nil else { return }
            state.cutSince = state.seen
            state.news.append("\(error?.message ?? "\(semaphores[0].host.name): no answer") (trying again)")
        }
    }

    private func heal() {
        state.withLock { state in
            state.seen = Moment()
            guard let since = state.cutSince else { return }
            state.cutSince = nil
            state.news.append(
                "\(semaphores[0].host.name): connected again after \((.sinceBoot() - since.sinceBoot).rounded)")
        }
    }
}
