internal import Glibc

/// Looks once a second whether the permits that this process holds still stand. One thread for all of
/// them, which ends when there has been none for a minute.
final class PermitWatch: Sendable {
    static let shared = PermitWatch()

    private struct State {
        var watched: [ObjectIdentifier: (grant: any Grant, lost: @Sendable (PermitLoss) -> Void)] = [:]
        var isRunning = false
    }

    private let state = Guarded(State())
    private static let interval = Duration.seconds(1)

    /// Runs a body as a task of its own, which is cancelled when its permit is lost.
    /// - Returns: what the body returns.
    /// - Throws: what the body throws, or ``SemaphoreError`` when the permit was lost; the body has ended then.
    static func run<Result: Sendable>(
        _ grant: any Grant, isolation: isolated (any Actor)? = #isolation,
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try grant.keep { shared.look(at: grant) }
        let atOnce = Guarded<Swift.Result<Result, any Error>?>(nil)
        let start = ContinuousClock.now
        // Runs here and now up to its first suspension, on the actor that asks. A body that has ended by then
        // isn't awaited: `Task.result` leaves the actor and comes back even for a task that is done.
        let task = Task.immediate {
            _ = isolation
            let result: Swift.Result<Result, any Error>
            do { result = .success(try await body()) } catch { result = .failure(error) }
            atOnce.withLock { $0 = result }
            return result
        }
        if let result = atOnce.withLock({ $0 }) {
            let wasLong = start.duration(to: .now) > interval
            if wasLong || grant.descriptor == nil, let loss = grant.loss() { throw loss.error(at: grant.path) }
            return try result.get()
        }
        let loss = Guarded<PermitLoss?>(nil)
        shared.add(grant) { found in
            loss.withLock { $0 = found }
            task.cancel()
        }
        defer { shared.remove(grant) }
        let result = await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
        if let loss = loss.withLock({ $0 }) { throw loss.error(at: grant.path) }
        return try result.get()
    }

    private func add(_ grant: any Grant, _ lost: @escaping @Sendable (PermitLoss) -> Void) {
        let mustStart = state.withLock { state in
            state.watched[ObjectIdentifier(grant)] = (grant, lost)
            defer { state.isRunning = true }
            return !state.isRunning
        }
        guard mustStart else { return }
        do {
            try BlockingThread.start { self.look() }.detach()
        } catch {
            state.withLock { $0.isRunning = false }  // the next permit tries again
        }
    }

    /// There may be a loss.
    private func look(at grant: any Grant) {
        guard let loss = grant.loss() else { return }
        state.withLock { $0.watched[ObjectIdentifier(grant)] }?.lost(loss)
    }

    private func remove(_ grant: any Grant) {
        state.withLock { $0.watched[ObjectIdentifier(grant)] = nil }
    }

    private func look() {
        var idle = 0
        while idle < 60 {
            var pause = timespec(Self.interval)
            nanosleep(&pause, nil)
            let watched = state.withLock { state in
                idle = state.watched.isEmpty ? idle + 1 : 0
                state.isRunning = idle < 60
                return Array(state.watched.values)
            }
            for (grant, lost) in watched {
                if let loss = grant.loss() { lost(loss) }
            }
        }
    }
}

extension PermitLoss {
    func error(at path: String) -> SemaphoreError {
        switch self {
        case .fileReplaced:
            SemaphoreError(
                .lost, "\(path): the permit is lost, because the queue file was deleted or replaced while it was held")
        case .cutOff(let why, _): SemaphoreError(.lost, "\(path): the permit is lost: \(why)")
        case .released(let by, let reason, _):
            SemaphoreError(.removed, "\(path): \(by) has ended this turn: \(reason)")
        }
    }
}
