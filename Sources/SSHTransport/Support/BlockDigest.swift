/// One of the hash functions of FIPS 180-4 that work on blocks of 64 bytes.
protocol BlockFunction {
    init()
    /// Mixes in 64 bytes.
    mutating func compress(_ block: UnsafeRawPointer)
    /// What has been mixed so far.
    var words: [UInt32] { get }
}

/// Cuts what comes into blocks, and pads the last one (FIPS 180-4, section 5).
struct BlockDigest<Function: BlockFunction> {
    private var function = Function()
    private var pending: [UInt8] = []
    private var count: UInt64 = 0
    private static var blockSize: Int { 64 }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        count &+= UInt64(bytes.count)
        var rest = bytes[...]
        if !pending.isEmpty {
            let head = rest.prefix(Self.blockSize - pending.count)
            pending += head
            rest = rest.dropFirst(head.count)
            guard pending.count == Self.blockSize else { return }
            pending.withUnsafeBytes { function.compress($0.baseAddress!) }
            pending.removeAll(keepingCapacity: true)
        }
        while rest.count >= Self.blockSize {
            function.compress(UnsafeRawBufferPointer(rebasing: rest).baseAddress!)
            rest = rest.dropFirst(Self.blockSize)
        }
        pending += rest
    }

    /// What a digest of all that came would be; more may follow.
    var value: [UInt8] {
        var last = self
        let bits = count &* 8
        let zeros = (2 * Self.blockSize - 9 - pending.count) % Self.blockSize
        let padding =
            [0x80] + [UInt8](repeating: 0, count: zeros)
            + (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * UInt64($0))) }
        padding.withUnsafeBytes { last.update($0) }
        return last.function.words.flatMap { word in
            (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * UInt32($0))) }
        }
    }

    /// HMAC (RFC 2104).
    /// - Parameter key: at most 64 bytes.
    static func authenticationCode(key: [UInt8], message: [UInt8]) -> [UInt8] {
        precondition(key.count <= blockSize)
        let padded = key + [UInt8](repeating: 0, count: blockSize - key.count)
        return hash(padded.map { $0 ^ 0x5C } + hash(padded.map { $0 ^ 0x36 } + message))
    }

    static func hash(_ bytes: [UInt8]) -> [UInt8] {
        var digest = Self()
        bytes.withUnsafeBytes { digest.update($0) }
        return digest.value
    }
}

extension UInt32 {
    func rotated(left count: UInt32) -> UInt32 { self << count | self >> (32 - count) }
    func rotated(right count: UInt32) -> UInt32 { self >> count | self << (32 - count) }
}
