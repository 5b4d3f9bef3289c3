/// Replaces `~`, `%h` and `${NAME}` in a value of ssh's configuration (ssh_config(5), TOKENS).
struct TokenExpansion {
    let account: LocalAccount
    /// What `%` and a letter stand for.
    let tokens: [Character: String]

    /// - Returns: nil where only OpenSSH knows what is meant.
    func expand(_ value: String) -> String? {
        guard var rest = expandHome(value)?[...] else { return nil }
        var result = ""
        while let character = rest.popFirst() {
            if character == "%" {
                guard let letter = rest.popFirst() else { return nil }
                guard let text = letter == "%" ? "%" : tokens[letter] else { return nil }
                result += text
            } else if character == "$", rest.first == "{" {
                guard let end = rest.firstIndex(of: "}"),
                    let text = account.environment(String(rest[..<end].dropFirst()))
                else { return nil }
                result += text
                rest = rest[end...].dropFirst()
            } else {
                result.append(character)
            }
        }
        return result
    }

    /// Replaces only the `~` of `~/path` and `~user/path`.
    func expandHome(_ value: String) -> String? {
        guard value.hasPrefix("~") else { return value }
        let name = value.dropFirst().prefix { $0 != "/" }
        let home = name.isEmpty ? account.home : account.homes[String(name)]
        return home.map { ($0 == "/" ? "" : $0) + value.dropFirst(1 + name.count) }
    }
}
