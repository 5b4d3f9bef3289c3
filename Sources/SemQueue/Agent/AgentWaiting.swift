internal import CSemQueue
internal import Glibc

/// The thread that waits in the queue for an agent's client, and what passes between the two.
final class AgentWaiting: Sendable {
    private struct State {
        var messages: [Message] = []
        /// What a client that has been cut off needs to be told again.
        var standing: [Message] = []
        var isAside = false
        var returned = false
        var readiness: Readiness
        var result: Result<Outcome, any Error>?
        var thread: BlockingThread?
    }

    private let state: Guarded<State>
    private let alarm = Alarm()
    private let wakeReader: Int32
    private let wakeWriter: Int32
    fileprivate let showsEachSecond: Bool

    /// - Parameters:
    ///   - showsEachSecond: the client redraws its line on a terminal.
    ///   - lease: its length.
    init(showsEachSecond: Bool, lease: Duration) throws(SemaphoreError) {
        state = Guarded(State(readiness: Readiness(length: lease)))
        self.showsEachSecond = showsEachSecond
        var ends: [Int32] = [-1, -1]
        let error = semq_pipe(&ends)
        (wakeReader, wakeWriter) = (ends[0], ends[1])
        guard error == 0 else {
            throw SemaphoreError(
                .io, "no more descriptors to be had: \(String(cString: strerror(error)))",
                systemError: error)
        }
    }

    deinit {
        close(wakeReader)
        close(wakeWriter)
    }

    func start(_ path: String, _ request: Request) throws(SemaphoreError) {
        let thread = try BlockingThread.start { [self] in
            let result = Result {
                try Member.acquire(path, request, alarm: alarm, observer: AgentObserver(self))
            }
            state.withLock { $0.result = result }
            ring()
        }
        state.withLock { $0.thread = thread }
    }

    /// Ends the wait, if it lasts still, and the thread.
    func stop() {
        alarm.ring()
        let thread = state.withLock { state in
            defer { state.thread = nil }
            return state.thread
        }
        thread?.join()
    }

    // MARK: for the agent

    var pollEvent: pollfd { pollfd(fd: wakeReader, events: Int16(POLLIN), revents: 0) }

    func clearWake() {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(wakeReader, &bytes, bytes.count) > 0 {}
    }

    func takeMessages() -> [Message] {
        state.withLock { state in
            defer { state.messages = [] }
            return state.messages
        }
    }

    func standingMessages() -> [Message] { state.withLock { $0.standing } }

    /// How the wait ended, once.
    func result() -> Result<Outcome, any Error>? {
        state.withLock { state in
            defer { state.result = nil }
            return state.result
        }
    }

    func stand(inLine: Bool) {
        let hasChanged = state.withLock { state in
            defer { state.isAside = !inLine }
            return state.isAside == inLine
        }
        if hasChanged { alarm.nudge() }
    }

    func confirmed(_ number: Int64) {
        state.withLock { $0.readiness.answered(number, at: .monotonic()) }
        alarm.nudge()
    }

    private func ring() {
        // A full pipe wakes as well.
        var byte: UInt8 = 1
        _ = write(wakeWriter, &byte, 1)
    }

    // MARK: for the thread

    func tell(_ messages: [Message], replacing verbs: [String] = []) {
        state.withLock { state in
            state.messages += messages
            if !verbs.isEmpty {
                state.standing.removeAll { verbs.contains($0.verb) }
                state.standing += messages
            }
        }
        ring()
    }

    fileprivate var isAside: Bool { state.withLock { $0.isAside } }

    /// Asks the client whether it is still there.
    fileprivate func isConfirmed() -> Bool {
        let number = state.withLock { $0.readiness.ask(at: .monotonic()) }
        tell([Message("ready", [("number", "\(number)")])])
        while !alarm.isRung {
            let (readiness, isAside) = state.withLock { ($0.readiness, $0.isAside) }
            if readiness.isConfirmed { return true }
            // Put off where an earlier answer, which comes too late, tells how long one takes.
            let rest = readiness.end - .monotonic()
            guard !isAside, rest > .zero else { break }
            alarm.sleep(rest)
        }
        state.withLock { $0.isAside = true }
        return false
    }
}

/// Tells the client what happens while it waits.
private final class AgentObserver: WaitObserver {
    private let waiting: AgentWaiting
    private var shown: Message?

    init(_ waiting: AgentWaiting) { self.waiting = waiting }

    func made(_ place: String, concurrency: Int) {
        waiting.tell([Message("made", [("place", place), ("concurrency", "\(concurrency)")])])
    }

    func recovered(_ path: String) { waiting.tell([Message("recovered")]) }

    func joined(_ place: any Place) {
        guard let place = place as? LocalPlace else { return }
        waiting.tell([Message("joined", place.ticket.fields)], replacing: ["joined"])
    }

    func isNext(_ place: any Place) { waiting.tell([Message("next")]) }

    func look(_ place: any Place) -> Duration? {
        // What the client shows is a place in line.
        guard !place.isFormer, place.hasChanged() || waiting.showsEachSecond else { return nil }
        let ahead = Message("place", [("ahead", "\(place.ahead())")])
        let status = place.holders().messages
        waiting.tell(status + [ahead], replacing: ["queue", "holder", "end", "place"])
        return waiting.showsEachSecond ? .seconds(1) : nil
    }

    func stuck(_ path: String, by who: String) { waiting.tell([Message("stuck", [("who", who)])]) }

    func tells(_ news: String) { waiting.tell([Message("news", [("text", news.bounded)])]) }

    func holdsOff(_ path: String, for duration: Duration) {
        waiting.tell([Message("holds-off", [("for", "\(duration.nanoseconds / 1_000_000)")])])
    }

    func confirms() -> Bool { waiting.isConfirmed() }

    func standing() -> Standing { waiting.isAside ? .aside : .inLine }
}
