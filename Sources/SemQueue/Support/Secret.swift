internal import Glibc

/// 128 random bits, as text.
struct Secret: Hashable, Sendable {
    let text: String

    static func random() -> Secret {
        var generator = SystemRandomNumberGenerator()
        let digits = (0..<2).flatMap { _ in Hexadecimal.digits(generator.next(), count: 16) }
        return Secret(text: String(decoding: digits, as: UTF8.self))
    }

    /// Whether both are the same, in a time that doesn't tell where they differ.
    func matches(_ other: String) -> Bool {
        let (left, right) = (Array(text.utf8), Array(other.utf8))
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
