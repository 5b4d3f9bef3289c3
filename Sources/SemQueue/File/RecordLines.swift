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
            Ticket.numbers.contains(number), Ticket.priorities.contains(Int(priority))
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
        guard parts.count == 2, let number = Int64(parts[0]), Ticket.numbers.contains(number),
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
            let lastTicket = reader.integer("ticket"), (0..<Ticket.numbers.upperBound).contains(lastTicket),
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
        }
        // An older reader takes it for what it says, in any record; an older writer leaves it out unless it is 1.
        if holder.isSilent || holder.isProved { field("silent", holder.isSilent ? 1 : 0) }
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
        guard var reader = Line.Reader("slot", line), let queue = reader.queue(),
            let slot = reader.integer("slot", in: 0..<Int64(LockSpace.maximumConcurrency)),
            let state = reader.word("state")
        else { return nil }
        self.init(queue: queue, slot: Int(slot), state: .free)
        guard state != "free" else { return }
        guard let ticket = reader.ticket(), let token = reader.integer("token"),
            let since = reader.integer("since"),
            case let lease = reader.integer("lease") ?? 0, (0..<Message.longestDuration).contains(lease)
        else { return nil }
        let expires = lease == 0 ? nil : reader.integer("expires").flatMap { $0 == 0 ? nil : $0 }
        let silent = reader.integer("silent")
        let expiry = state == "dead" ? reader.expiry() : nil
        guard let party = reader.party() else { return nil }
        let holder = Holder(
            ticket: ticket, token: token, since: Timestamp(since), party: party, lease: .milliseconds(lease),
            expires: expires.map { Timestamp($0) }, isSilent: silent == 1, isProved: silent != nil)
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

extension WaiterRecord {
    /// The tickets that stand in these lines, for counting: the checksums are not looked at, and it costs a fiftieth.
    static func tickets(in lines: [UInt8]) -> [Ticket] {
        let start = Line.start(of: "waiter")
        let field = start.count + " queue=0123456789abcdef".utf8.count
        return stride(from: 0, through: lines.count - Line.length, by: Line.length).compactMap { first in
            guard lines[first..<(first + start.count)].elementsEqual(start) else { return nil }
            var rest = lines[(first + field)..<(first + Line.length)]
            guard let number = integer("ticket", &rest), Ticket.numbers.contains(Int64(number)),
                let priority = integer("priority", &rest), Ticket.priorities.contains(priority)
            else { return nil }
            return Ticket(priority: priority, number: Int64(number))
        }
    }

    private static func integer(_ name: StaticString, _ bytes: inout ArraySlice<UInt8>) -> Int? {
        // A space before and = behind the name.
        let length = name.utf8CodeUnitCount + 2
        let isNamed = name.withUTF8Buffer { bytes.dropFirst().prefix($0.count).elementsEqual($0) }
        bytes = bytes.dropFirst(length)
        let isNegative = bytes.first == UInt8(ascii: "-")
        let digits = bytes.dropFirst(isNegative ? 1 : 0).prefix(13).prefix { (0x30...0x39).contains($0) }
        guard isNamed, !digits.isEmpty else { return nil }
        bytes = bytes[digits.endIndex...]
        return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) } * (isNegative ? -1 : 1)
    }
}

extension WaiterRecord: LineRecord {
    init?(line: ArraySlice<UInt8>) {
        guard var reader = Line.Reader("waiter", line), let queue = reader.queue(), let ticket = reader.ticket(),
            let since = reader.integer("since"),
            case let agent = reader.integer("agent").map(Int32.init(clamping:)), let party = reader.party()
        else { return nil }
        self.init(queue: queue, ticket: ticket, since: Timestamp(since), party: party, agent: agent)
    }

    var line: [UInt8] {
        var writer = Line.Writer("waiter")
        writer.queue(queue)
        writer.ticket(ticket)
        writer.field("since", since.microseconds)
        if let agent { writer.field("agent", Int64(agent)) }
        writer.party(party)
        return writer.finish()
    }
}

extension Note: LineRecord {
    init?(line: ArraySlice<UInt8>) {
        guard var reader = Line.Reader("note", line), let queue = reader.queue(), let ticket = reader.ticket(),
            let grace = reader.integer("grace"), let by = reader.word("by"), let reason = reader.text()
        else { return nil }
        self.init(
            queue: queue, ticket: ticket, grace: min(max(0, grace), Message.longestDuration), by: by, reason: reason)
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
