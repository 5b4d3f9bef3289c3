/// A value that comes once, and that threads and tasks wait for.
final class Promise<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiters: [CheckedContinuation<Value, Never>] = []
    }

    private let state = Monitor(State())

    /// The first value counts.
    func fulfill(_ value: Value) {
        let waiters = state.withLock { state -> [CheckedContinuation<Value, Never>] in
            guard state.value == nil else { return [] }
            state.value = value
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume(returning: value) }
    }

    /// Nil while there is none.
    var current: Value? { state.withLock { $0.value } }

    /// Blocks the calling thread.
    func wait() -> Value { state.wait { $0.value }! }

    /// Blocks the calling thread, at most so long.
    func wait(until deadline: Deadline) -> Value? { state.wait(until: deadline) { $0.value } }

    func get() async -> Value {
        await withCheckedContinuation { continuation in
            let value = state.withLock { state in
                if state.value == nil { state.waiters.append(continuation) }
                return state.value
            }
            if let value { continuation.resume(returning: value) }
        }
    }
}
