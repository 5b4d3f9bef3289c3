/// One message between a client and the agent on a semaphore's host: a verb and named values, as one line
/// of text, and sometimes raw bytes behind it, as many as `size` says.
///
///     acquire path=board.queue priority=0 lease=15000 description=flash.sh%20--all⏎
///
/// Spaces, control characters and `%` in values are percent-escaped, so that no value can forge a field
/// or a line. Unknown verbs and fields are left alone by whoever reads: a later version may say more.
struct Message: Equatable, Sendable {
    let verb: String
    private(set) var fields: [(name: String, value: String)] = []
    private(set) var body: [UInt8] = []

    /// Longer lines are sent by nobody; an older version, which reads no longer ones, took no care of that where much of
    /// them had to be escaped.
    static let longestLine = 16 << 10
    /// Longer lines and bodies are refused by whoever reads.
    static let longestReadLine = 64 << 10
    static let longestBody = 64 << 10
    /// A year, in milliseconds.
    static let longestDuration: Int64 = 31_536_000_000

    init(_ verb: String, _ fields: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.verb = verb
        self.fields = fields
        self.body = body
        if !body.isEmpty { self.fields.append(("size", "\(body.count)")) }
    }

    subscript(name: String) -> String? {
        get { fields.first { $0.name == name }?.value }
        set {
            fields.removeAll { $0.name == name }
            if let newValue { fields.append((name, newValue)) }
        }
    }

    /// About as many bytes as it takes in memory.
    var size: Int {
        fields.reduce(64 + verb.utf8.count + body.count) { $0 + $1.name.utf8.count + $1.value.utf8.count + 2 }
    }

    func integer(_ name: String) -> Int64? { self[name].flatMap { Int64($0) } }

    /// How many there are of something, or a number to count on from: not below zero, nor beyond a million.
    func count(_ name: String) -> Int? { integer(name).map { Int(min(max(0, $0), 1_000_000)) } }

    /// A span of time, which is sent in milliseconds. Nil also where it is negative or beyond a year.
    func duration(_ name: String) -> Duration? {
        integer(name).flatMap { (0..<Self.longestDuration).contains($0) ? .milliseconds($0) : nil }
    }

    func flag(_ name: String) -> Bool { self[name] == "1" }

    static func == (left: Message, right: Message) -> Bool { left.bytes == right.bytes }

    // MARK: as bytes

    var bytes: [UInt8] {
        var bytes = Array(verb.utf8)
        for (name, value) in fields {
            bytes.append(UInt8(ascii: " "))
            bytes += name.utf8
            bytes.append(UInt8(ascii: "="))
            Self.escape(value, to: &bytes)
        }
        bytes.append(UInt8(ascii: "\n"))
        return bytes + body
    }

    /// How long the line is without the body.
    var lineLength: Int { bytes.count - body.count }

    /// The same with its longest values cut until others read it. What an agent tells is other people's: what they
    /// have called things, and why.
    var fitting: Message {
        var message = self
        // An escaped byte becomes three.
        guard size * 3 > Self.longestLine else { return message }
        while message.lineLength > Self.longestLine,
            let longest = message.fields.indices.max(by: {
                message.fields[$0].value.utf8.count < message.fields[$1].value.utf8.count
            }),
            case let value = message.fields[longest].value, value.utf8.count > 16
        {
            message.fields[longest].value = value.cut(to: value.utf8.count * 3 / 4)
        }
        return message
    }

    private static func escape(_ value: String, to bytes: inout [UInt8]) {
        for byte in value.utf8 {
            if byte <= 0x20 || byte == 0x7f || byte == UInt8(ascii: "%") {
                bytes += Hexadecimal.percent(byte)
            } else {
                bytes.append(byte)
            }
        }
    }

    /// The head of a message, from its line without the newline.
    fileprivate init?(line: ArraySlice<UInt8>) {
        let words = line.split(separator: UInt8(ascii: " "))
        guard let first = words.first, first.allSatisfy({ Self.isWord($0) }) else { return nil }
        verb = String(decoding: first, as: UTF8.self)
        for word in words.dropFirst() {
            guard let equals = word.firstIndex(of: UInt8(ascii: "=")), equals > word.startIndex else { return nil }
            let name = String(decoding: word[..<equals], as: UTF8.self)
            fields.append((name, Hexadecimal.unescape(word[(equals + 1)...])))
        }
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || byte == UInt8(ascii: "-")
    }
}

/// Takes messages out of a stream of bytes, and never keeps more of it than one of them may be long.
struct MessageReader {
    private var pending: [UInt8] = []
    private var start = 0
    /// A line has been read whose body is still to come.
    private var head: (message: Message, size: Int)?

    /// What came is no message.
    struct Garbage: Error {
        /// Its first bytes.
        var sample: [UInt8]
    }

    mutating func append(_ bytes: ArraySlice<UInt8>) {
        if start > 0 {
            pending.removeFirst(start)
            start = 0
        }
        pending += bytes
    }

    /// Bytes that came and belong to no message yet.
    var rest: ArraySlice<UInt8> { pending[start...] }

    /// The next whole message, or nil until more bytes come.
    /// - Throws: ``Garbage``, after which nothing more is to be expected from this stream.
    mutating func next() throws(Garbage) -> Message? {
        if head == nil {
            guard let newline = rest.firstIndex(of: UInt8(ascii: "\n")) else {
                guard rest.count < Message.longestReadLine else { throw garbage }
                return nil
            }
            guard newline - start < Message.longestReadLine, let message = Message(line: pending[start..<newline])
            else {
                throw garbage
            }
            let size = message["size"].map { Int($0) } ?? 0
            guard let size, (0...Message.longestBody).contains(size) else { throw garbage }
            start = newline + 1
            head = (message, size)
        }
        guard let (message, size) = head, rest.count >= size else { return nil }
        head = nil
        defer { start += size }
        var whole = message
        if size > 0 { whole.take(body: rest.prefix(size)) }
        return whole
    }

    private var garbage: Garbage { Garbage(sample: Array(rest.prefix(80))) }
}

extension Message {
    fileprivate mutating func take(body: ArraySlice<UInt8>) { self.body = Array(body) }
}
