/// Reads the fields of a message where it lies (RFC 4251, section 5); nil where there is too little.
struct MessageReader {
    private(set) var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    mutating func byte() -> UInt8? {
        guard let first = rest.first else { return nil }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst())
        return first
    }

    mutating func number() -> UInt32? {
        guard rest.count >= 4 else { return nil }
        let value = UInt32(bigEndian: rest.loadUnaligned(as: UInt32.self))
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(4))
        return value
    }

    mutating func bytes() -> UnsafeRawBufferPointer? {
        var ahead = self
        guard let length = ahead.number(), Int(length) <= ahead.rest.count else { return nil }
        let result = UnsafeRawBufferPointer(rebasing: ahead.rest.prefix(Int(length)))
        rest = UnsafeRawBufferPointer(rebasing: ahead.rest.dropFirst(Int(length)))
        return result
    }

    mutating func text() -> String? {
        guard let bytes = bytes() else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}
