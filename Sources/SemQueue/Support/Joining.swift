extension [String] {
    /// As `joined(separator:)`, whose generic code first looks through every protocol conformance in the
    /// program: a twentieth of the time in which `semq acquire` runs `true`.
    package func joined(by separator: String) -> String {
        var result = ""
        for (index, part) in enumerated() {
            if index > 0 { result += separator }
            result += part
        }
        return result
    }
}
