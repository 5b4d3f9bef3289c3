/// What a `semq acquire` tells the agent that has started it, before it dies of the signal that its command has died of.
/// As long as the report of a grant, which comes the same way.
package struct EndReport {
    private static let word = Array("signaled ".utf8)

    /// That the command has died of.
    package let signal: Int32

    package init(signal: Int32) { self.signal = signal }

    /// Nil where it is something else.
    init?(line: ArraySlice<UInt8>) {
        let digits = line.dropFirst(Self.word.count).prefix { $0 != 0 }
        guard line.starts(with: Self.word), let signal = Int32(String(decoding: digits, as: UTF8.self)) else {
            return nil
        }
        self.signal = signal
    }

    package var line: [UInt8] {
        let text = Self.word + Array("\(signal)".utf8)
        return text + [UInt8](repeating: 0, count: Line.length - text.count)
    }
}
