extension String {
    /// Nothing in it but newlines can move a cursor, change a colour or turn the writing round.
    package var isHarmless: Bool {
        unicodeScalars.allSatisfy {
            $0 == "\n" || ($0.value >= 0x20 && !(0x7f..<0xa0).contains($0.value) && $0 != "\u{202e}")
        }
    }
}
