internal import CSemQueue
internal import Glibc
internal import SemQueue

/// Tells people who wait where they stand: one line that is redrawn on a terminal, a line for each
/// change elsewhere.
final class WaitingDisplay: WaitObserver {
    private let talk: AcquireCommand.Talk
    private let isSingle: Bool
    private let prepare: (PlaceLocks?) -> Void
    /// Ends the wait where several semaphores, some of them on other hosts, are to be given up in good order.
    let alarm = Alarm()
    private let redraws = Terminal.isTerminal(STDERR_FILENO)
    private let start = Duration.monotonic()

    private var hasLine = false
    /// What is to be said when nobody is asked anything any more.
    private var heldBack: [String] = []
    /// Whoever was ahead has left the queue, of which its header tells nothing.
    private var isNewlyNext = false
    private var shown: String?
    /// When not all hosts had answered yet.
    private var connecting: Duration?
    private var lastSaid = Duration.zero
    private var tidy: UnsafeMutablePointer<CChar>?

    /// - Parameters:
    ///   - isSingle: one queue is waited for, so that its place can be given up on a stop.
    ///   - prepare: called with the place when the grant is near, and with nil when that has come to nothing.
    init(talk: AcquireCommand.Talk, isSingle: Bool, prepare: @escaping (PlaceLocks?) -> Void) {
        self.talk = talk
        self.isSingle = isSingle
        self.prepare = prepare
    }

    /// From here on the terminal can't stop this process except while it sleeps.
    func begin() { semq_waiting_begin() }

    func end() {
        tellHeldBack()
        clear()
        semq_waiting_tidy(nil)
    }

    // MARK: what the wait tells

    func made(_ place: String, concurrency: Int) {
        guard talk > .quiet else { return }
        say("made the queue \(OnBehalf.current?.named(place: place) ?? place), concurrency \(concurrency)")
    }

    func tells(_ news: String) {
        guard talk > .quiet else { return }
        say(news)
    }

    func speaks(to descriptor: Int32) {
        if isSingle { semq_waiting_farewell(descriptor) } else { semq_waiting_orderly() }
    }

    var showsEachSecond: Bool { redraws && talk > .quiet }

    func recovered(_ path: String) {
        guard talk > .quiet else { return }
        say(
            "\(path): the queue's record was damaged; one at a time until somebody says: semq set \(path) --concurrency N"
        )
    }

    func holdsOff(_ path: String, for duration: Duration) {
        guard talk > .quiet else { return }
        say(
            "\(path): somebody on another host may hold it, whose record was lost; nobody is granted for "
                + "\(Standing.span(duration)), until no lease can last any more")
    }

    func joined(_ place: any Place) {
        if isSingle, let locks = place.locks {
            semq_waiting_place(
                locks.descriptor, locks.privateDescriptor, locks.start, locks.length, locks.slotStart, locks.slotLength)
        }
    }

    func isNext(_ place: any Place) {
        isNewlyNext = true
        if isSingle, let locks = place.locks { prepare(locks) }
    }

    func left() {
        // Its descriptors are about to be another file's.
        if isSingle { semq_waiting_place(-1, -1, 0, 0, 0, 0) }
        prepare(nil)
    }

    func blocks(_ begins: Bool) {
        semq_waiting_allow_stop(begins)
        if death != nil { alarm.ring() }
    }

    /// The deadly signal that came while all was to be given up in good order.
    var death: Int32? { semq_waiting_death() == 0 ? nil : semq_waiting_death() }

    func lostPlace() -> Bool {
        guard semq_waiting_was_stopped() else { return false }
        Carriers.goOn()
        return true
    }

    func stuck(_ path: String, by who: String) {
        guard talk > .quiet else { return }
        draw("\(path): \(who) stands still with the queue's mutex; let it go on (kill -CONT) or end it")
    }

    func look(_ place: any Place) -> Duration? {
        look(hasChanged: place.hasChanged) { waited in
            let standing = Standing(place)
            return (standing.line(waited: waited), standing.line(waited: nil, withTimes: false))
        }
    }

    func look(_ semaphores: [any NamedSemaphore]) -> Duration? {
        if semaphores.contains(where: { !($0 is LocalSemaphore) }) { semq_waiting_orderly() }
        // Before their hosts have answered nobody knows whether they are free.
        let isConnecting = semaphores.contains { ($0 as? RemoteSemaphore)?.reached ?? .semq < .semq }
        let now = Duration.monotonic()
        if isConnecting, now - start < .seconds(3) {
            connecting = now
            return .milliseconds(50)
        }
        if let connecting, now - connecting < Self.silence { return Self.silence }
        return look(hasChanged: { true }) { waited in
            var standings: [String] = []
            for standing in semaphores.map(Self.standing) where !standings.contains(standing) {
                standings.append(standing)
            }
            let several = semaphores.count > 1 ? " for the first of \(semaphores.count)" : ""
            let time = waited.map { ", \(Standing.span($0))" } ?? ""
            let line = "waiting\(several)\(time): \(standings.joined(separator: "; "))"
            return (line, line)
        } ?? .seconds(5)
    }

    /// - Parameter text: the line to show, given how long has been waited where that is shown, and what of
    ///   it counts as a change.
    /// - Returns: when to look again; nil leaves it to the queue.
    private func look(hasChanged: () -> Bool, _ text: (Duration?) -> (line: String, essence: String)) -> Duration? {
        tellHeldBack()
        guard talk > .quiet else { return nil }
        let now = Duration.monotonic()
        // Whoever is let in at once is told nothing.
        guard now - start >= Self.silence else { return Self.silence - (now - start) }
        if redraws {
            guard Terminal.isForeground(STDERR_FILENO) else { return .seconds(1) }
            guard now - lastSaid >= .milliseconds(900) else { return .seconds(1) - (now - lastSaid) }
            lastSaid = now
            draw(text(now - start).line)
            return .seconds(1)
        }
        let isDue = now - lastSaid >= .seconds(300)
        // Asked first: a look at the header costs little, who waits where is read only when that has changed.
        guard hasChanged() || isNewlyNext || isDue else { return nil }
        isNewlyNext = false
        let (line, essence) = text(nil)
        guard essence != shown || isDue else { return nil }
        say(line)
        (shown, lastSaid) = (essence, now)
        return nil
    }

    private static let silence = Duration.milliseconds(300)

    // MARK: drawing

    private func say(_ message: String) {
        heldBack.append(message)
        tellHeldBack()
    }

    private func tellHeldBack() {
        guard !heldBack.isEmpty else { return }
        guard redraws else { return sayHeldBack() }
        // A question stands on the terminal until it is answered.
        _ = TerminalTurn.write(leavingLine: false) {
            clear()
            sayHeldBack()
        }
    }

    private func sayHeldBack() {
        for message in heldBack { Terminal.say(message) }
        heldBack = []
    }

    private func draw(_ message: String) {
        guard redraws else { return say(message) }
        _ = TerminalTurn.write(leavingLine: true) {
            let text = "semq: \(message.printable)".fitting(Terminal.width(STDERR_FILENO) - 1)
            if !hasLine {
                hasLine = true
                if tidy == nil { tidy = strdup("\r\u{1b}[2K") }
                // First, so that a signal right behind the line finds it.
                semq_waiting_tidy(tidy)
            }
            Terminal.write("\r\u{1b}[2K\(text)", to: STDERR_FILENO)
        }
    }

    private func clear() {
        guard hasLine else { return }
        hasLine = false
        Terminal.write("\r\u{1b}[2K", to: STDERR_FILENO)
        semq_waiting_tidy(nil)
    }

    /// What one of several is waited for.
    private static func standing(_ semaphore: any NamedSemaphore) -> String {
        guard let remote = semaphore as? RemoteSemaphore else {
            let pause = semaphore.statusAtHand?.paused.map { "is paused by \($0.by): \($0.reason)" }
            return "\(semaphore.name) \(pause ?? holders(semaphore) ?? "is not free")"
        }
        // Who holds it is not asked: another host's answer might be long in coming.
        return switch remote.reached {
        case .nothing, .account: "connecting to \(remote.host.name)"
        case .host: "semq is being put onto \(remote.host.name)"
        case .semq: "\(remote.name) is not free"
        }
    }

    /// What keeps a queue from granting, for a refusal; nil if that can't be read.
    static func obstacle(_ semaphore: any NamedSemaphore) -> String? {
        switch (semaphore as? RemoteSemaphore)?.reached {
        case .nothing:
            return "no semq there has answered in that time; is the host up, does its log-in shell wait for something?"
        case .account:
            return "no semq there has answered in that time; does the log-in shell there wait for something?"
        case .host: return "semq was still being put onto the host"
        case .semq, nil: break
        }
        guard let status = semaphore.statusAtHand else { return nil }
        return status.paused.map { "paused by \($0.by): \($0.reason)" } ?? Standing.held(status, now: .now())
    }

    /// Who holds a queue; nil if nobody does or that can't be read.
    static func holders(_ semaphore: any NamedSemaphore) -> String? {
        semaphore.statusAtHand.flatMap { Standing.held($0, now: .now()) }
    }
}

/// A waiter's place, and what it waits for.
struct Standing {
    var path: String
    var ahead: Int
    /// More may be ahead.
    var isUncertain: Bool
    var status: QueueStatus
    /// See ``Place/isFormer``.
    var isFormer: Bool

    init(_ place: any Place) {
        isFormer = place.isFormer
        status = place.holders()
        path = place.path
        ahead = place.ahead()
        isUncertain = place.isUncertain
    }

    /// Such as “board.queue: 2nd in line, 12s; held by ann@ws7 (pid 4242) for 3m12s: flash.sh --all”.
    func line(waited: Duration?, withTimes: Bool = true) -> String {
        let later = isUncertain ? " or later" : ""
        let position = ahead == 0 ? "next in line" : "\(Self.ordinal(ahead + 1)) in line\(later)"
        let time = waited.map { ", \(Self.span($0))" } ?? ""
        if isFormer {
            let held = Self.held(status, now: withTimes ? .now() : nil) ?? "free by now"
            return "\(path): deleted or replaced, to be begun anew\(time); the old file: \(held)"
        }
        if let pause = status.paused {
            return "\(path): paused by \(pause.by): \(pause.reason); \(position)\(time)"
        }
        if let until = status.heldOffUntil {
            let clock = withTimes ? " until \(until.local(relativeTo: .now()))" : " for now"
            return "\(path): nobody is granted\(clock), because a holder's record was lost; \(position)\(time)"
        }
        let free = ahead > 0 ? "; free, left to \(ahead == 1 ? "the one" : "those") ahead" : ""
        let held = Self.held(status, now: withTimes ? .now() : nil).map { "; \($0)" } ?? free
        return "\(path): \(position)\(time)\(held)"
    }

    /// Such as “held by ann@ws7 (pid 4242) for 3m12s: flash.sh --all”.
    static func held(_ status: QueueStatus, now: Timestamp?) -> String? {
        guard let first = status.holders.first else {
            return status.heldOffUntil.map { until in
                "nobody is granted\(now.map { " until \(until.local(relativeTo: $0))" } ?? ""), because a holder's "
                    + "record was lost"
            }
        }
        let party = first.party
        let time = first.since.microseconds > 0 ? now.map { " for \(span(first.since.age(at: $0)))" } ?? "" : ""
        if party == .asked { return "the next one is being asked" }
        let others = status.holders.count - 1
        let kept = now.flatMap { now in first.leaseExpires.map { ", kept until \($0.local(relativeTo: now))" } } ?? ""
        let stopped = first.isStopped ? first.leaseExpires == nil ? ", stopped" : ", its agent stands still" : ""
        let who =
            party == .unknown
            ? "somebody whose record is damaged"
            : "\(party.user)@\(party.host) (pid \(party.pid)\(stopped))\(time)\(first.isCutOff ? ", cut off\(kept)" : ""): "
                + party.description + (first.remark.map { " (\($0))" } ?? "")
        return "held by \(who)" + (others > 0 ? " and \(others) more" : "")
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
    static func span(_ duration: Duration) -> String {
        let seconds = max(0, duration.components.seconds)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return switch seconds {
        case ..<60: "\(seconds)s"
        case ..<3600: "\(seconds / 60)m\(two(seconds % 60))s"
        case ..<86400: "\(seconds / 3600)h\(two(seconds / 60 % 60))m"
        default: "\(seconds / 86400)d\(two(seconds / 3600 % 24))h"
        }
    }
}
