/// SHA-1, which hides the names in a hashed known_hosts file. Nothing is signed or trusted by it.
struct SHA1: BlockFunction {
    private var state: SIMD8<UInt32> = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0, 0, 0, 0]

    var words: [UInt32] { (0..<5).map { state[$0] } }

    mutating func compress(_ block: UnsafeRawPointer) {
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 80) { schedule in
            for index in 0..<80 {
                let word =
                    index < 16
                    ? UInt32(bigEndian: block.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
                    : (schedule[index - 3] ^ schedule[index - 8] ^ schedule[index - 14] ^ schedule[index - 16])
                        .rotated(left: 1)
                schedule[index] = word
                let (mixed, constant): (UInt32, UInt32) =
                    switch index {
                    case ..<20: (b & c | ~b & d, 0x5A82_7999)
                    case ..<40: (b ^ c ^ d, 0x6ED9_EBA1)
                    case ..<60: (b & c | b & d | c & d, 0x8F1B_BCDC)
                    default: (b ^ c ^ d, 0xCA62_C1D6)
                    }
                let next = a.rotated(left: 5) &+ mixed &+ e &+ constant &+ word
                (a, b, c, d, e) = (next, a, b.rotated(left: 30), c, d)
            }
        }
        state &+= [a, b, c, d, e, 0, 0, 0]
    }
}
