extension String {
    /// As a word of a shell's command line.
    package var shellQuoted: String {
        let isPlain =
            !isEmpty
            && utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte.lowercased)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "_./:@%+=,-".utf8.contains(byte)
            }
        if isPlain { return self }
        return "'" + split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
