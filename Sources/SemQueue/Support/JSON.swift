/// Just enough of JSON (RFC 8259) to write it, without Foundation.
package indirect enum JSON {
    case string(String)
    case integer(Int64)
    case bool(Bool)
    case null
    case array([JSON])
    case object([(String, JSON)])

    /// On one line, keys in the order given.
    package var utf8: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(256)
        write(to: &bytes)
        return bytes
    }

    package var text: String { String(decoding: utf8, as: UTF8.self) }

    private func write(to bytes: inout [UInt8]) {
        switch self {
        case .string(let value): Self.quote(value, to: &bytes)
        case .integer(let value): bytes += String(value).utf8
        case .bool(let value): bytes += (value ? "true" : "false").utf8
        case .null: bytes += "null".utf8
        case .array(let values):
            Self.list("[", values, "]", to: &bytes) { value, bytes in value.write(to: &bytes) }
        case .object(let members):
            Self.list("{", members, "}", to: &bytes) { member, bytes in
                Self.quote(member.0, to: &bytes)
                bytes += ": ".utf8
                member.1.write(to: &bytes)
            }
        }
    }

    private static func list<Element>(
        _ open: String, _ elements: [Element], _ close: String, to bytes: inout [UInt8],
        each: (Element, inout [UInt8]) -> Void
    ) {
        bytes += open.utf8
        for (index, element) in elements.enumerated() {
            if index > 0 { bytes += ", ".utf8 }
            each(element, &bytes)
        }
        bytes += close.utf8
    }

    private static func quote(_ value: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"", "\\": bytes += [UInt8(ascii: "\\"), UInt8(ascii: scalar)]
            case "\n": bytes += "\\n".utf8
            case _ where scalar.isControl: bytes += "\\u".utf8 + Hexadecimal.digits(UInt64(scalar.value), count: 4)
            default: bytes += UTF8.encode(scalar)!
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
