/// Reads one flat JSON object, such as a line of the history.
package struct JSONReader {
    private var rest: ArraySlice<UInt8>

    /// The members of the object, in order; nil if the text is anything else. Strings and integers only.
    package static func members(of text: String) -> [(name: String, value: JSON)]? {
        var reader = JSONReader(rest: Array(text.utf8)[...])
        guard reader.take("{") else { return nil }
        var members: [(String, JSON)] = []
        if reader.take("}") { return members }
        repeat {
            guard let name = reader.string(), reader.take(":"), let value = reader.value() else { return nil }
            members.append((name, value))
        } while reader.take(",")
        return reader.take("}") ? members : nil
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        while rest.first == UInt8(ascii: " ") { rest.removeFirst() }
        guard rest.first == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }

    private mutating func value() -> JSON? {
        while rest.first == UInt8(ascii: " ") { rest.removeFirst() }
        if rest.first == UInt8(ascii: "\"") { return string().map(JSON.string) }
        let digits = rest.prefix { $0 == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        rest = rest.dropFirst(digits.count)
        return Int64(String(decoding: digits, as: UTF8.self)).map(JSON.integer)
    }

    private mutating func string() -> String? {
        guard take("\"") else { return nil }
        var bytes: [UInt8] = []
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: bytes, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let escaped = rest.popFirst() else { return nil }
                switch escaped {
                case UInt8(ascii: "n"): bytes.append(0x0A)
                case UInt8(ascii: "u"):
                    guard let code = Hexadecimal.value(rest.prefix(4)), let scalar = Unicode.Scalar(UInt32(code)) else {
                        return nil
                    }
                    bytes += Array(String(scalar).utf8)
                    rest = rest.dropFirst(4)
                default: bytes.append(escaped)
                }
            default: bytes.append(byte)
            }
        }
        return nil
    }
}
