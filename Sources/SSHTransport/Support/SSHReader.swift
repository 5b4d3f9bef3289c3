/// Takes the fields of an SSH structure (RFC 4251, section 5) from its beginning.
struct SSHReader {
    private(set) var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func integer() -> UInt32? {
        guard rest.count >= 4 else { return nil }
        defer { rest = rest.dropFirst(4) }
        return rest.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// - Returns: nil if the length says more than there is.
    mutating func string() -> ArraySlice<UInt8>? {
        guard let count = integer(), count <= UInt32(clamping: rest.count) else { return nil }
        defer { rest = rest.dropFirst(Int(count)) }
        return rest.prefix(Int(count))
    }
}
