/// The words of a line, between spaces and tabs.
struct SSHWords: Sequence, IteratorProtocol {
    private(set) var rest: ArraySlice<UInt8>

    init(_ line: ArraySlice<UInt8>) { rest = line }

    mutating func next() -> ArraySlice<UInt8>? {
        rest = rest.drop { Self.isBlank($0) }
        let word = rest.prefix { !Self.isBlank($0) }
        rest = rest.dropFirst(word.count)
        return word.isEmpty ? nil : word
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
}
