/// What another program or host has said, fit for a message: one line, no escape sequences, not endless.
enum Printable {
    static func text(_ text: String, limit: Int = 200) -> String {
        var result = ""
        for scalar in text.unicodeScalars.prefix(limit) {
            switch scalar.value {
            case 0..<0x20, 0x7f..<0xa0, 0x200b...0x200f, 0x2028...0x202e, 0x2060...0x206f, 0xfeff: result += " "
            default: result.unicodeScalars.append(scalar)
            }
        }
        while result.last == " " || result.last == "." { result.removeLast() }
        return result
    }
}
