/// What `ssh -G` printed: a keyword and its value on each line.
package struct OpenSSHSettings {
    private var values: [String: [String]] = [:]

    package init(_ text: String) {
        for line in text.split(separator: "\n") {
            let keyword = line.prefix { $0 != " " }
            values[keyword.lowercased(), default: []].append(String(line.dropFirst(keyword.count + 1)))
        }
    }

    /// A keyword's first value; nil if it has none, or an empty one.
    package subscript(_ keyword: String) -> String? {
        values[keyword]?.first.flatMap { $0.isEmpty ? nil : $0 }
    }

    func all(_ keyword: String) -> [String] { values[keyword] ?? [] }

    /// A value for which `none` means that there is none.
    package func optional(_ keyword: String) -> String? { self[keyword].flatMap { $0 == "none" ? nil : $0 } }

    func words(_ keyword: String, separator: Character) -> [String] {
        self[keyword]?.split(separator: separator).map(String.init) ?? []
    }

    /// Versions of OpenSSH differ in `yes` and `true`.
    package func isOn(_ keyword: String) -> Bool { ["yes", "true"].contains(self[keyword] ?? "") }

    func isOff(_ keyword: String) -> Bool { ["no", "false"].contains(self[keyword] ?? "") }
}
