/// Who stands behind a ticket, as told in the queue file. Told, not proved: only locks are proof.
public struct Party: Hashable, Sendable {
    /// The process as its own pid namespace numbers it.
    public var pid: Int32
    public var host: String
    public var user: String
    /// Why: the description given, or the command.
    public var description: String

    public init(pid: Int32, host: String, user: String, description: String) {
        self.pid = pid
        self.host = host
        self.user = user
        self.description = description
    }
}

/// The queue's own record. Two copies stand at the start of the file and are written by one call.
struct Header: Equatable {
    /// Where the concurrency comes from: it decides who may contradict it.
    enum Origin: String {
        /// Given, or left at 1, when the queue was made.
        case created
        /// Changed by `set` since: overrides what acquirers ask for.
        case set
        /// Both copies were unreadable: 1 until somebody sets it.
        case recovered
    }

    /// Random, made with the queue: the same for all names and hosts that reach it.
    var queue: UInt64
    var concurrency: Int = 1
    var origin: Origin = .created
    /// The last number drawn.
    var lastTicket: Int64 = 0
    /// The last fencing token drawn.
    var lastToken: Int64 = 0
    /// Nobody is granted while this is set: who paused the queue, and why.
    var pause: Pause?
    /// Waiters that stood still when it was their turn. The others act as if they were not there, until
    /// they go on and take themselves off this list. It bears on the order alone.
    var passed: [Ticket] = []

    /// The highest slot that was ever granted to a remote member, and one more; 0: there was none. The records of
    /// the slots below are read before anybody is granted.
    var remote: Int = 0
    /// The boot in which that happened.
    var remoteBoot: UInt64 = 0
    /// Nobody is granted before: a record that may have been a remote holder's was damaged.
    var holdoff: Expiry?

    /// More than this many are passed anew each time.
    static let maximumPassed = 8

    struct Pause: Hashable, Sendable {
        var by: String
        var since: Timestamp
        var reason: String
    }
}

/// A slot's record: who holds it, or that it was given back in good order.
struct SlotRecord: Equatable {
    var queue: UInt64
    var slot: Int
    var state: State

    enum State: Equatable {
        /// Given back in good order, or never held.
        case free
        case held(Holder)
        /// A tombstone: the remote holder's lock is gone without a word, and its work elsewhere may go on until then.
        case dead(Holder, Expiry)
    }

    struct Holder: Equatable {
        var ticket: Ticket
        var token: Int64
        var since: Timestamp
        var party: Party
        /// How long the slot is kept when the lock dies without a word; zero for a local holder, whose work dies
        /// with the lock. In whole milliseconds.
        var lease = Duration.zero
        /// When the lease ends unless it is renewed. For people.
        var expires: Timestamp?
        /// Whether it isn't heard of just now. For people.
        var isSilent = false

        var isRemote: Bool { lease > .zero }
    }

    init(queue: UInt64, slot: Int, state: State) {
        self.queue = queue
        self.slot = slot
        self.state = state
    }

    init(queue: UInt64, slot: Int, holder: Holder?) {
        self.init(queue: queue, slot: slot, state: holder.map(State.held) ?? .free)
    }

    /// Who holds the slot, if its lock is held.
    var holder: Holder? {
        if case .held(let holder) = state { holder } else { nil }
    }

    /// Who held it last, as far as is known.
    var lastHolder: Holder? {
        switch state {
        case .free: nil
        case .held(let holder), .dead(let holder, _): holder
        }
    }
}

/// For how long a lock of another machine's may outlive the process that keeps it here.
enum Lease {
    static let longest = Duration.seconds(60)
}

/// The record of one who waits.
struct WaiterRecord: Equatable {
    var queue: UInt64
    var ticket: Ticket
    var since: Timestamp
    var party: Party
    /// It waits for somebody on another host.
    var isRemote = false
}

/// A message to one member: your turn is ended, by whom and why.
struct Note: Equatable {
    var queue: UInt64
    var ticket: Ticket
    /// How long a holder's command has between SIGTERM and SIGKILL, in milliseconds.
    var grace: Int64
    var by: String
    var reason: String
}

// MARK: as lines

/// A record that is kept as one line of the queue file.
protocol LineRecord {
    init?(line: ArraySlice<UInt8>)
    var line: [UInt8] { get }
    var queue: UInt64 { get }
}

extension Line.Writer {
    mutating func queue(_ queue: UInt64) {
        field("queue", String(decoding: Hexadecimal.digits(queue, count: 16), as: UTF8.self))
    }

    mutating func ticket(_ ticket: Ticket) {
        field("ticket", ticket.number)
        field("priority", Int64(ticket.priority))
    }

    mutating func boot(_ boot: UInt64) {
        field("boot", String(decoding: Hexadecimal.digits(boot, count: 16), as: UTF8.self))
    }

    mutating func expiry(_ expiry: Expiry) {
        field("until", expiry.until)
        boot(expiry.boot)
    }

    mutating func party(_ party: Party) {
        field("pid", Int64(party.pid))
        field("host", party.host)
        field("user", party.user)
        text(party.description)
    }
}

extension Line.Reader {
    mutating func queue() -> UInt64? {
        word("queue").flatMap { Hexadecimal.value(Array($0.utf8)[...]) }
    }

    mutating func ticket() -> Ticket? {
        guard let number = integer("ticket"), let priority = integer("priority"),
            (1..<(1 << 40)).contains(number), Ticket.priorities.contains(Int(priority))
        else { return nil }
        return Ticket(priority: Int(priority), number: number)
    }

    mutating func boot() -> UInt64? { word("boot").flatMap { Hexadecimal.value(Array($0.utf8)[...]) } }

    mutating func expiry() -> Expiry? {
        guard let until = integer("until"), let boot = boot() else { return nil }
        return Expiry(boot: boot, until: until)
    }

    mutating func party() -> Party? {
        guard let pid = integer("pid").flatMap(Int32.init(exactly:)), let host = word("host"),
            let user = word("user"), let text = text()
        else { return nil }
        return Party(pid: pid, host: host, user: user, description: text)
    }
}

extension Header {
    /// As number:priority.
    private static func word(_ ticket: Ticket) -> String { "\(ticket.number):\(ticket.priority)" }

    private static func passed(_ word: Substring) -> Ticket? {
        let parts = word.split(separator: ":")
        guard parts.count == 2, let number = Int64(parts[0]), (1..<(1 << 40)).contains(number),
            let priority = Int(parts[1]), Ticket.priorities.contains(priority)
        else { return nil }
        return Ticket(priority: priority, number: number)
    }
}

extension Header: LineRecord {
    init?(line: ArraySlice<UInt8>) {
        guard var reader = Line.Reader("queue", line), let queue = reader.queue(),
            let concurrency = reader.integer("concurrency"),
            (1...Int64(LockSpace.maximumConcurrency)).contains(concurrency),
            let origin = reader.word("by").flatMap(Origin.init(rawValue:)),
            let lastTicket = reader.integer("ticket"), (0..<(1 << 40)).contains(lastTicket),
            let lastToken = reader.integer("token"), lastToken >= 0,
            let passed = reader.word("passed")
        else { return nil }
        let remote = reader.integer("remote")
        let remoteBoot = remote.flatMap { _ in reader.boot() } ?? 0
        let holdoff = remote.flatMap { _ in reader.expiry() }
        guard (0...Int64(LockSpace.maximumConcurrency)).contains(remote ?? 0),
            let pausedSince = reader.integer("paused"), let pausedBy = reader.word("pausedby"),
            let reason = reader.text()
        else { return nil }
        self.init(
            queue: queue, concurrency: Int(concurrency), origin: origin, lastTicket: lastTicket, lastToken: lastToken,
            pause: pausedSince == 0 ? nil : Pause(by: pausedBy, since: Timestamp(pausedSince), reason: reason),
            passed: passed.split(separator: ",").compactMap(Self.passed), remote: Int(remote ?? 0),
            remoteBoot: remoteBoot,
            holdoff: holdoff)
    }

    var line: [UInt8] {
        var writer = Line.Writer("queue")
        writer.queue(queue)
        writer.field("concurrency", Int64(concurrency))
        writer.field("by", origin.rawValue)
        writer.field("ticket", lastTicket)
        writer.field("token", lastToken)
        writer.field("passed", passed.prefix(Self.maximumPassed).map(Self.word).joined(by: ","), limit: 200)
        // A queue that was never used from elsewhere keeps nothing about it.
        if remote > 0 || holdoff != nil {
            writer.field("remote", Int64(remote))
            writer.boot(remoteBoot)
            if let holdoff { writer.expiry(holdoff) }
        }
        writer.field("paused", pause?.since.microseconds ?? 0)
        writer.field("pausedby", pause?.by ?? "", limit: 64)
        writer.text(pause?.reason ?? "")
        return writer.finish()
    }
}

extension Line.Writer {
    fileprivate mutating func holder(_ holder: SlotRecord.Holder, _ state: String, until expiry: Expiry?) {
        field("state", state)
        ticket(holder.ticket)
        field("token", holder.token)
        field("since", holder.since.microseconds)
        if holder.isRemote {
            field("lease", holder.lease.milliseconds)
            field("expires", holder.expires?.microseconds ?? 0)
            if holder.isSilent { field("silent", 1) }
        }
        if let expiry { self.expiry(expiry) }
        party(holder.party)
    }
}

extension SlotRecord {
    private static let free = Array("state=free".utf8)

    /// What a line says of a slot that is being taken, unless it is free. A line that says “free” is believed
    /// unchecked: all that hangs on it is whether a loss is told.
    static func taken(in line: [UInt8]) -> SlotRecord? {
        guard !line.prefix(80).split(separator: UInt8(ascii: " ")).contains(free[...]) else { return nil }
        return SlotRecord(line: line[...])
    }
}

extension SlotRecord: LineRecord {
    init?(line: ArraySlice<UInt8>) {
        guard var reader = Line.Reader("slot", line), let queue = reader.queue(), let slot = reader.integer("slot"),
            let state = reader.word("state")
        else { return nil }
        self.init(queue: queue, slot: Int(slot), state: .free)
        guard state != "free" else { return }
        guard let ticket = reader.ticket(), let token = reader.integer("token"), let since = reader.integer("since")
        else { return nil }
        let lease = reader.integer("lease") ?? 0
        let expires = lease == 0 ? nil : reader.integer("expires").flatMap { $0 == 0 ? nil : $0 }
        let isSilent = reader.integer("silent") == 1
        let expiry = state == "dead" ? reader.expiry() : nil
        guard let party = reader.party() else { return nil }
        let holder = Holder(
            ticket: ticket, token: token, since: Timestamp(since), party: party, lease: .milliseconds(lease),
            expires: expires.map { Timestamp($0) }, isSilent: isSilent)
        if state == "held" {
            self.state = .held(holder)
        } else if let expiry {
            self.state = .dead(holder, expiry)
        } else {
            return nil
        }
    }

    var line: [UInt8] {
        var writer = Line.Writer("slot")
        writer.queue(queue)
        writer.field("slot", Int64(slot))
        switch state {
        case .free: writer.field("state", "free")
        case .held(let holder): writer.holder(holder, "held", until: nil)
        case .dead(let holder, let expiry): writer.holder(holder, "dead", until: expiry)
        }
        return writer.finish()
    }
}

extension WaiterRecord: LineRecord {
    init?(line: ArraySlice<UInt8>) {
        guard var reader = Line.Reader("waiter", line), let queue = reader.queue(), let ticket = reader.ticket(),
            let since = reader.integer("since"),
            case let isRemote = reader.integer("remote") == 1, let party = reader.party()
        else { return nil }
        self.init(queue: queue, ticket: ticket, since: Timestamp(since), party: party, isRemote: isRemote)
    }

    var line: [UInt8] {
        var writer = Line.Writer("waiter")
        writer.queue(queue)
        writer.ticket(ticket)
        writer.field("since", since.microseconds)
        if isRemote { writer.field("remote", 1) }
        writer.party(party)
        return writer.finish()
    }
}

extension Note: LineRecord {
    init?(line: ArraySlice<UInt8>) {
        guard var reader = Line.Reader("note", line), let queue = reader.queue(), let ticket = reader.ticket(),
            let grace = reader.integer("grace"), let by = reader.word("by"), let reason = reader.text()
        else { return nil }
        self.init(queue: queue, ticket: ticket, grace: grace, by: by, reason: reason)
    }

    var line: [UInt8] {
        var writer = Line.Writer("note")
        writer.queue(queue)
        writer.ticket(ticket)
        writer.field("grace", grace)
        writer.field("by", by, limit: 128)
        writer.text(reason)
        return writer.finish()
    }
}
