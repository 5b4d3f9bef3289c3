internal import CSemQueue
internal import Glibc
internal import SemQueue

/// Tells people who wait where they stand: one line that is redrawn on a terminal, a line for each
/// change elsewhere.
final class WaitingDisplay: WaitObserver {
    private let talk: AcquireCommand.Talk
    private let isSingle: Bool
    private let prepare: (Place) -> Void
    private let redraws = Terminal.isTerminal(STDERR_FILENO)
    private let start = Duration.monotonic()

    private var hasLine = false
    private var shown: Standing?
    private var lastSaid = Duration.zero
    private var lastLook = Duration.zero
    private var tidy: UnsafeMutablePointer<CChar>?

    /// - Parameters:
    ///   - isSingle: one queue is waited for, so that its place can be given up on a stop.
    ///   - prepare: called when the grant is near.
    init(talk: AcquireCommand.Talk, isSingle: Bool, prepare: @escaping (Place) -> Void) {
        self.talk = talk
        self.isSingle = isSingle
        self.prepare = prepare
    }

    /// From here on the terminal can't stop this process except while it sleeps.
    func begin() { semq_waiting_begin() }

    func end() {
        clear()
        semq_waiting_tidy(nil)
    }

    // MARK: what the wait tells

    func made(_ path: String, concurrency: Int) {
        guard talk > .quiet else { return }
        say("made the queue \(LocalHost.name):\(QueueStatus.absolute(path)), concurrency \(concurrency)")
    }

    func recovered(_ path: String) {
        guard talk > .quiet else { return }
        say("\(path): the queue's record was damaged; one at a time until somebody says: semq set \(path) --concurrency N")
    }

    func joined(_ place: Place) {
        if isSingle { semq_waiting_place(place.descriptor, place.start, place.length) }
    }

    func isNext(_ place: Place) {
        if isSingle { prepare(place) }
    }

    func blocks(_ begins: Bool) { semq_waiting_allow_stop(begins) }

    func lostPlace() -> Bool { semq_waiting_was_stopped() }

    func stuck(_ path: String) {
        guard talk > .quiet else { return }
        let who = MutexHolder.find(path).map { "\($0)" } ?? "a process that can't be seen from here"
        draw("\(path): \(who) stands still with the queue's mutex; let it go on (kill -CONT) or end it")
    }

    func look(_ place: Place) -> Duration? {
        guard talk > .quiet else { return nil }
        let now = Duration.monotonic()
        if redraws {
            guard now - lastLook >= .milliseconds(900) else { return .seconds(1) - (now - lastLook) }
            lastLook = now
            draw(Standing(place).line(waited: now - start))
            return .seconds(1)
        }
        // A look at the header costs little; who waits where is read only when that has changed.
        if shown == nil || place.hasChanged() || now - lastSaid >= .seconds(300) {
            let standing = Standing(place)
            if standing != shown || now - lastSaid >= .seconds(300) {
                say(standing.line(waited: nil))
                lastSaid = now
            }
            shown = standing
        }
        return nil
    }

    func lookWithoutPlace() -> Duration? { redraws ? .seconds(1) : .seconds(300) }

    // MARK: drawing

    private func say(_ message: String) {
        clear()
        Terminal.say(message)
    }

    private func draw(_ message: String) {
        guard redraws else { return say(message) }
        let text = "semq: \(message.printable)".fitting(Terminal.width(STDERR_FILENO) - 1)
        Terminal.write("\r\u{1b}[2K\(text)", to: STDERR_FILENO)
        if !hasLine {
            hasLine = true
            if tidy == nil { tidy = strdup("\r\u{1b}[2K") }
            semq_waiting_tidy(tidy)
        }
    }

    private func clear() {
        guard hasLine else { return }
        hasLine = false
        Terminal.write("\r\u{1b}[2K", to: STDERR_FILENO)
        semq_waiting_tidy(nil)
    }

    /// Who holds a queue, for a refusal; nil if that can't be read.
    static func holders(_ path: String) -> String? {
        (try? QueueStatus(path: path)).flatMap { Standing.held($0, now: .now()) }
    }
}

/// A waiter's place, and what it waits for.
struct Standing: Equatable {
    var path: String
    var ahead: Int
    var status: QueueStatus

    init(_ place: Place) {
        status = place.holders()
        path = place.path
        ahead = place.ahead()
    }

    static func == (left: Standing, right: Standing) -> Bool {
        left.ahead == right.ahead && left.status == right.status
    }

    func line(waited: Duration?) -> String {
        let now = Timestamp.now()
        let position = ahead == 0 ? "next in line" : "\(Self.ordinal(ahead + 1)) in line"
        let time = waited.map { ", \(Self.span($0.nanoseconds / 1_000_000_000))" } ?? ""
        if let pause = status.paused { return "\(path): paused by \(pause.by): \(pause.reason); \(position)\(time)" }
        let held = Self.held(status, now: now).map { "; \($0)" } ?? ""
        return "\(path): \(position)\(time)\(held)"
    }

    /// Such as “held by ann@ws7 (pid 4242) for 3m12s: flash.sh --all”.
    static func held(_ status: QueueStatus, now: Timestamp) -> String? {
        guard let first = status.holders.first else { return nil }
        func one(_ holder: QueueStatus.Holder) -> String {
            let seconds = max(0, now.microseconds - holder.since.microseconds) / 1_000_000
            return "\(holder.party.user)@\(holder.party.host) (pid \(holder.party.pid)) for \(span(seconds)): \(holder.party.description)"
        }
        let others = status.holders.count - 1
        return "held by \(one(first))" + (others > 0 ? " and \(others) more" : "")
    }

    static func ordinal(_ number: Int) -> String {
        let suffix =
            switch (number % 10, number % 100) {
            case (_, 11...13): "th"
            case (1, _): "st"
            case (2, _): "nd"
            case (3, _): "rd"
            default: "th"
            }
        return "\(number)\(suffix)"
    }

    /// Such as 12s, 3m12s, 2h05m, 4d03h.
    static func span(_ seconds: Int64) -> String {
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return switch seconds {
        case ..<60: "\(seconds)s"
        case ..<3600: "\(seconds / 60)m\(two(seconds % 60))s"
        case ..<86400: "\(seconds / 3600)h\(two(seconds / 60 % 60))m"
        default: "\(seconds / 86400)d\(two(seconds / 3600 % 24))h"
        }
    }
}
