/// One fixed-length line of the queue file: readable text, `key=value` fields, a checksum, a newline.
///
///     semq1 slot queue=6b1f… state=held … text=flash.sh --all            #9a0c11fe⏎
///
/// A line that was torn, overwritten or never written fails its checksum and reads as absent.
/// The last field, `text`, may hold spaces; control characters and `%` are percent-escaped, so
/// that no value can forge a line or a field.
struct Line {
    static let length = 512
    private static let magic = Array("semq1 ".utf8)
    /// Space, `#`, eight hexadecimal digits, newline.
    private static let tailLength = 11

    /// Writes the fields of one line, in order.
    struct Writer {
        private var bytes: [UInt8] = []

        init(_ kind: StaticString) {
            bytes.reserveCapacity(Line.length)
            bytes += Line.magic
            kind.withUTF8Buffer { bytes += $0 }
        }

        private mutating func key(_ key: StaticString) {
            bytes.append(UInt8(ascii: " "))
            key.withUTF8Buffer { bytes += $0 }
            bytes.append(UInt8(ascii: "="))
        }

        mutating func field(_ name: StaticString, _ value: Int64) {
            key(name)
            bytes += String(value).utf8
        }

        /// A short word; cut at `limit` bytes.
        mutating func field(_ name: StaticString, _ value: String, limit: Int = 64) {
            key(name)
            append(value, escapingSpace: true, limit: limit)
        }

        /// The last field: as much of the text as the line has room for, ending in … if cut.
        mutating func text(_ value: String) {
            key("text")
            append(value, escapingSpace: false, limit: Line.length - Line.tailLength - bytes.count)
        }

        private mutating func append(_ value: String, escapingSpace: Bool, limit: Int) {
            let start = bytes.count
            var fits = start
            for scalar in value.unicodeScalars {
                let mark = bytes.count
                let escape = scalar == "%" || scalar.isControl || (escapingSpace && scalar == " ")
                for byte in UTF8.encode(scalar)! {
                    if escape { bytes += Hexadecimal.percent(byte) } else { bytes.append(byte) }
                }
                if bytes.count - start > limit {
                    bytes.removeLast(bytes.count - min(mark, fits))
                    bytes += "…".utf8
                    return
                }
                if bytes.count - start <= limit - 3 { fits = bytes.count }
            }
        }

        /// The finished line, always ``Line/length`` bytes.
        consuming func finish() -> [UInt8] {
            // Spaces at the end can't be told from those that fill the line, and would spoil the checksum.
            while bytes.last == UInt8(ascii: " ") { bytes.removeLast() }
            let checksum = Checksum.crc32(bytes[...])
            let room = Line.length - Line.tailLength - bytes.count
            precondition(room >= 0, "the fields of a line are bounded so that they fit")
            bytes += repeatElement(UInt8(ascii: " "), count: room + 1)
            bytes.append(UInt8(ascii: "#"))
            bytes += Hexadecimal.digits(UInt64(checksum), count: 8)
            bytes.append(UInt8(ascii: "\n"))
            return bytes
        }
    }

    /// Reads the fields of one line, in the order in which they were written.
    struct Reader {
        private let bytes: ArraySlice<UInt8>
        private var position: Int

        /// Nil unless the bytes are a sound line of this kind.
        init?(_ kind: StaticString, _ line: ArraySlice<UInt8>) {
            guard let content = Line.content(of: line) else { return nil }
            let head = Line.start(of: kind)
            guard content.starts(with: head) else { return nil }
            bytes = content
            position = content.startIndex + head.count
        }

        private mutating func value(_ name: StaticString, toEnd: Bool) -> ArraySlice<UInt8>? {
            let prefix = [UInt8(ascii: " ")] + name.withUTF8Buffer(Array.init) + [UInt8(ascii: "=")]
            guard bytes[position...].starts(with: prefix) else { return nil }
            let start = position + prefix.count
            let end = toEnd ? bytes.endIndex : bytes[start...].firstIndex(of: UInt8(ascii: " ")) ?? bytes.endIndex
            position = end
            return bytes[start..<end]
        }

        mutating func integer(_ name: StaticString) -> Int64? {
            value(name, toEnd: false).flatMap { Int64(String(decoding: $0, as: UTF8.self)) }
        }

        /// Nil also for one out of its range: whoever reads reckons with it.
        mutating func integer(_ name: StaticString, in range: Range<Int64>) -> Int64? {
            integer(name).flatMap { range.contains($0) ? $0 : nil }
        }

        mutating func word(_ name: StaticString) -> String? {
            value(name, toEnd: false).map(Hexadecimal.unescape)
        }

        mutating func text() -> String? {
            value("text", toEnd: true).map(Hexadecimal.unescape)
        }
    }

    /// What every line of a kind begins with.
    static func start(of kind: StaticString) -> [UInt8] { magic + kind.withUTF8Buffer(Array.init) }

    /// What stands between magic and checksum, or nil if the line is not sound.
    static func content(of line: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard line.count == length, line.last == UInt8(ascii: "\n"), line.starts(with: magic) else { return nil }
        var end = line.endIndex - tailLength
        guard line[end] == UInt8(ascii: " "), line[end + 1] == UInt8(ascii: "#"),
            let stored = Hexadecimal.value(line[(end + 2)..<(line.endIndex - 1)])
        else { return nil }
        while end > line.startIndex, line[end - 1] == UInt8(ascii: " ") { end -= 1 }
        let content = line[line.startIndex..<end]
        return UInt64(Checksum.crc32(content)) == stored ? content : nil
    }
}
