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
        /// Nobody takes requests any more.
        var isOver = false
        var lastNumber = 0
    }

    private let state = Monitor(State())
    let wake: Wake
    /// Why the session is no more; fulfilled once its thread has let go of everything.
    let over = Promise<SSHError>()

    init?() {
        guard let wake = Wake() else { return nil }
        self.wake = wake
    }

    /// - Returns: false if the session is over.
    @discardableResult
    func post(_ request: Request) -> Bool {
        let isOpen = state.withLock { state in
            guard !state.isOver, state.ending == nil else { return false }
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

    /// No request is taken any more; those that came too late are returned.
    func shut() -> [Request] {
        state.withLock { state in
            state.isOver = true
            defer { state.requests = [] }
            return state.requests
        }
    }
}
