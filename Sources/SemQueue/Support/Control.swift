extension Unicode.Scalar {
    /// Moves a cursor, begins an escape sequence, ends a line, turns the writing round or can't be seen.
    /// All lie in the basic plane.
    package var isControl: Bool {
        switch value {
        case 0..<0x20, 0x7f..<0xa0, 0x200b...0x200f, 0x2028...0x202e, 0x2060...0x206f, 0xfeff: true
        default: false
        }
    }
}
