/// What other threads want of a session's thread.
final class Mailbox: Sendable {
    enum Request {
        case open(Opening)
        /// The channel of this number.
        case close(Int)
    }

    enum Ending: Sendable {
        /// Say goodbye, then end.
        case orderly
        /// End now, whatever the other side does.
        case abrupt
    }

    private struct State {
        var requests: [Request] = []
        var ending: Ending?
        /// Why the session is no more; set once its thread has let go of everything.
        var over: SSHError?
        var lastNumber = 0
    }

    private let state = Monitor(State())
    let wake: Wake

    init?() {
        guard let wake = Wake() else { return nil }
        self.wake = wake
    }

    /// - Returns: false if the session is over.
    @discardableResult
    func post(_ request: Request) -> Bool {
        let isOpen = state.withLock { state in
            guard state.over == nil, state.ending == nil else { return false }
            state.requests.append(request)
            return true
        }
        if isOpen { wake.signal() }
        return isOpen
    }

    func end(_ ending: Ending) {
        state.withLock { state in
            if case .abrupt = state.ending { return }
            state.ending = ending
        }
        wake.signal()
    }

    /// A number for a channel, never used before.
    func nextNumber() -> Int {
        state.withLock { state in
            state.lastNumber += 1
            return state.lastNumber
        }
    }

    func take() -> (requests: [Request], ending: Ending?) {
        wake.clear()
        return state.withLock { state in
            defer { state.requests = [] }
            return (state.requests, state.ending)
        }
    }

    /// No request is answered any more; those that came too late are returned.
    func finish(_ reason: SSHError) -> [Request] {
        state.withLock { state in
            if state.over == nil { state.over = reason }
            defer { state.requests = [] }
            return state.requests
        }
    }

    /// Why the session is over, or nil while it lives.
    var over: SSHError? { state.withLock { $0.over } }

    /// Blocks until the session is over.
    func waitUntilOver(_ deadline: Deadline = .never) -> SSHError? { state.wait(until: deadline) { $0.over } }
}
