internal import Glibc
internal import SemQueue

/// Memory that `semq`, the guardian and the command-to-be share: small facts that must survive the
/// death of whoever learnt them.
struct SharedPage {
    /// How the command's run ended, or that it has not.
    enum Outcome: Equatable {
        case none
        case exited(Int32)
        case signaled(Int32)
        /// execvp(3) failed with this error number.
        case notExecuted(Int32)
        /// The permit was gone before the command had ended; why stands in the message.
        case lost
    }

    private struct Record {
        var commandPid: Int32
        var outcome: Int32
        var number: Int32
        var isStarted: Int32
        var isRunning: Int32
        var commandStop: Int32
        var newsCount: Int32
        var commandHasEnded: Int32
        var frontStops: Int32
        var commandSession: Int32
        var isToldToEnd: Int32
        var isHungUp: Int32
        var isAsked: Int32
        var isAnswered: Int32
    }

    private static let size = 1 << 20  // only pages that are touched take memory
    private static let forwardedOffset = 1024
    private static let startOffset = 4096
    private static let messageOffset = size - 8192
    private static let newsOffset = messageOffset - 32768

    private let base: UnsafeMutableRawPointer
    private var record: UnsafeMutablePointer<Record> { base.assumingMemoryBound(to: Record.self) }

    /// Nil when there is no memory.
    init?() {
        guard let base = mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
            base != MAP_FAILED
        else { return nil }
        self.base = base
    }

    /// Set by the command-to-be itself; 0 before.
    var commandPid: Int32 {
        get { record.pointee.commandPid }
        nonmutating set { record.pointee.commandPid = newValue }
    }

    /// The command-to-be has been told to go and was there to hear it. Only then are the permits the guardian's
    /// to give back: one whose command-to-be was killed before is replaced, under the same permits.
    var isRunning: Bool {
        get { record.pointee.isRunning == 1 }
        nonmutating set { record.pointee.isRunning = newValue ? 1 : 0 }
    }

    /// Its process number may be another's from here on. Set before it is reaped.
    var commandHasEnded: Bool {
        get { record.pointee.commandHasEnded == 1 }
        nonmutating set { record.pointee.commandHasEnded = newValue ? 1 : 0 }
    }

    /// The signal that the command stands stopped by, or 0. On the page and not in a signal of its own: the
    /// terminal stops the whole group, and a second such signal would be lost beside the first.
    var commandStop: Int32 {
        get { record.pointee.commandStop }
        nonmutating set { record.pointee.commandStop = newValue }
    }

    /// `semq` stops itself as the command was stopped, or stands stopped. Should the command go on between the look at it
    /// and the stop, SIGCONT is lost, and the guardian has to send another.
    var frontStops: Bool {
        get { record.pointee.frontStops == 1 }
        nonmutating set { record.pointee.frontStops = newValue ? 1 : 0 }
    }

    /// The session that the command was in when it ended; 0 before.
    var commandSession: Int32 {
        get { record.pointee.commandSession }
        nonmutating set { record.pointee.commandSession = newValue }
    }

    /// SIGTERM was passed on to the command: what it leaves behind is to be ended too.
    var isToldToEnd: Bool {
        get { record.pointee.isToldToEnd == 1 }
        nonmutating set { record.pointee.isToldToEnd = newValue ? 1 : 0 }
    }

    /// SIGHUP was passed on to the command: what it leaves behind is to get it too.
    var isHungUp: Bool {
        get { record.pointee.isHungUp == 1 }
        nonmutating set { record.pointee.isHungUp = newValue ? 1 : 0 }
    }

    /// The guardian asks whether a signal has come to `semq`.
    var isAsked: Bool {
        get { record.pointee.isAsked == 1 }
        nonmutating set { record.pointee.isAsked = newValue ? 1 : 0 }
    }

    /// All that had come when it was asked has been handed on.
    var isAnswered: Bool {
        get { record.pointee.isAnswered == 1 }
        nonmutating set { record.pointee.isAnswered = newValue ? 1 : 0 }
    }

    /// How often `semq` has handed a signal on, and how many of these times have got to the command: a guardian
    /// that is killed takes with it what it hadn't passed on.
    struct Forwarded {
        /// Written by `semq`.
        var sent: UInt8 = 0
        /// Written by whoever watches over the command.
        var passed: UInt8 = 0
    }

    /// - Parameter signal: none of the real-time signals.
    func forwarded(_ signal: Int32) -> UnsafeMutablePointer<Forwarded> {
        (base + Self.forwardedOffset).assumingMemoryBound(to: Forwarded.self) + Int(signal)
    }

    var outcome: Outcome {
        get {
            switch record.pointee.outcome {
            case 1: .exited(record.pointee.number)
            case 2: .signaled(record.pointee.number)
            case 3: .notExecuted(record.pointee.number)
            case 4: .lost
            default: .none
            }
        }
        nonmutating set {
            // The number first: a process killed between the two leaves no half outcome.
            switch newValue {
            case .none: record.pointee.outcome = 0
            case .exited(let code): (record.pointee.number, record.pointee.outcome) = (code, 1)
            case .signaled(let signal): (record.pointee.number, record.pointee.outcome) = (signal, 2)
            case .notExecuted(let error): (record.pointee.number, record.pointee.outcome) = (error, 3)
            case .lost: record.pointee.outcome = 4
            }
        }
    }

    /// Set before the command is told to start: what it runs under, and what its environment is to say.
    struct Start {
        var permits: [String]
        var environment: [(name: String, value: String)]
        var descriptors: [Int32]
    }

    /// Kept as words that end in a zero byte: a count and the permits, a count and the descriptors, the
    /// environment. Read between the grant and the command, so without the costly ways of String.
    var start: Start? {
        get {
            guard record.pointee.isStarted == 1 else { return nil }
            var next = UnsafePointer((base + Self.startOffset + 4).assumingMemoryBound(to: CChar.self))
            let end = next + Int(load(Self.startOffset))
            func word() -> String {
                guard next < end else { return "" }
                defer { next += strnlen(next, end - next) + 1 }
                return String(cString: next)
            }
            func list() -> [String] { (0..<(Int(word()) ?? 0)).map { _ in word() } }
            let permits = list()
            let descriptors = list().compactMap { Int32($0) }
            var environment: [(name: String, value: String)] = []
            while next < end { environment.append((word(), word())) }
            return Start(permits: permits, environment: environment, descriptors: descriptors)
        }
        nonmutating set {
            guard let newValue else { return }
            let words =
                ["\(newValue.permits.count)"] + newValue.permits + ["\(newValue.descriptors.count)"]
                + newValue.descriptors.map(String.init) + newValue.environment.flatMap { [$0.name, $0.value] }
            setText((words + [""]).joined(by: "\0"), at: Self.startOffset, room: Self.newsOffset)
            record.pointee.isStarted = 1
        }
    }

    /// What people should know of the permits: how many lines there have been, and the last of them.
    var news: (count: Int, lines: [String]) {
        let lines = text(at: Self.newsOffset).split(separator: "\n").map(String.init)
        return (Int(record.pointee.newsCount), lines)
    }

    func add(news lines: [String]) {
        let kept = Array((news.lines + lines.map { $0.replacing("\n", with: " ") }).suffix(16))
        setText(kept.joined(by: "\n"), at: Self.newsOffset, room: Self.messageOffset)
        record.pointee.newsCount += Int32(lines.count)
    }

    /// Why the permit is gone, for `semq` to say.
    var message: String {
        get { text(at: Self.messageOffset) }
        nonmutating set { setText(newValue, at: Self.messageOffset, room: Self.size) }
    }

    private func load(_ offset: Int) -> Int32 { base.load(fromByteOffset: offset, as: Int32.self) }

    private func store(_ value: Int32, _ offset: Int) {
        base.storeBytes(of: value, toByteOffset: offset, as: Int32.self)
    }

    private func text(at offset: Int) -> String {
        let bytes = UnsafeRawBufferPointer(start: base + offset + 4, count: Int(load(offset)))
        return String(decoding: bytes, as: UTF8.self)
    }

    private func setText(_ text: String, at offset: Int, room end: Int) {
        let bytes = Array(text.utf8.prefix(end - offset - 4))
        (base + offset + 4).copyMemory(from: bytes, byteCount: bytes.count)
        store(Int32(bytes.count), offset)
    }
}
