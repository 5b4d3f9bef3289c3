extension [UInt8] {
    /// Appends a number as four bytes, the highest first (RFC 4251, section 5).
    mutating func append(sshNumber value: UInt32) {
        append(contentsOf: [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)])
    }

    /// Appends bytes behind their number.
    mutating func append(sshBytes bytes: some Collection<UInt8>) {
        append(sshNumber: UInt32(bytes.count))
        append(contentsOf: bytes)
    }
}
