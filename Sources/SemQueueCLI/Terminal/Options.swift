internal import CSemQueue
internal import Glibc
internal import SemQueue

/// The words of a command line, taken apart by getopt_long(3): options anywhere before `--`,
/// abbreviated if unambiguous, `--option=value` or `--option value`.
struct Options {
    struct Option {
        var name: StaticString
        var letter: Character?
        var takesArgument: Bool

        init(_ name: StaticString, _ letter: Character? = nil, argument: Bool = false) {
            self.name = name
            self.letter = letter
            takesArgument = argument
        }
    }

    /// A word as it was typed, which need not be UTF-8. Stays as long as the process.
    typealias Word = UnsafeMutablePointer<CChar>

    private(set) var values: [(name: String, value: String, word: Word?)] = []
    /// What is no option, before `--`.
    private(set) var operands: [String] = []
    /// What stands behind `--`; nil where there is no `--`.
    private(set) var trailing: [String]?
    /// The same as it was typed.
    private(set) var trailingWords: [Word] = []

    func has(_ name: String) -> Bool { values.contains { $0.name == name } }

    /// The last value given.
    func value(_ name: String) -> String? { values.last { $0.name == name }?.value }

    /// The last value given, as it was typed.
    func word(_ name: String) -> Word? { values.last { $0.name == name }?.word }

    /// Swift's own list of arguments has everything replaced that is no UTF-8.
    private static func asTyped(_ words: [String]) -> [Word] {
        let first = Int(CommandLine.argc) - words.count
        return words.enumerated().map { index, word in
            guard first > 0, let typed = CommandLine.unsafeArgv[first + index], String(cString: typed) == word else {
                return strdup(word)
            }
            return typed
        }
    }

    /// - Throws: ``SemaphoreError`` that names the word and the command whose help tells more.
    init(_ command: String, _ words: [String], _ options: [Option]) throws {
        let all = options + [Option("help", "h")]
        // getopt keeps pointers into these until the process ends.
        let typed = Self.asTyped(words)
        let arguments = [strdup(command)] + typed + [nil]
        let pointer = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: arguments.count)
        pointer.initialize(from: arguments, count: arguments.count)
        let specification = all.enumerated().map { index, option in
            semq_option(
                name: UnsafeRawPointer(option.name.utf8Start).assumingMemoryBound(to: CChar.self),
                code: option.letter.map { Int32($0.asciiValue!) } ?? Int32(256 + index),
                takes_argument: option.takesArgument)
        }
        let count = Int32(words.count + 1)
        let help = "see: semq \(command) --help"
        scan: while true {
            var argument: UnsafePointer<CChar>?
            let code = semq_next_option(count, pointer, specification, Int32(all.count), &argument)
            let word = argument.map { String(cString: $0) } ?? ""
            switch code {
            case -1: break scan
            case 1:
                guard let argument, String(validatingCString: argument) != nil else {
                    throw SemaphoreError(
                        .usage, "\(command): ‘\(word.printable)’ is no UTF-8; give the file a name that is")
                }
                operands.append(word)
            case Int32(UInt8(ascii: "?")):
                throw SemaphoreError(.usage, "\(command): \(Self.flaw(of: word, all)); \(help)")
            case Int32(UInt8(ascii: ":")):
                throw SemaphoreError(.usage, "\(command): ‘\(word.printable)’ wants a value; \(help)")
            default:
                let index = specification.firstIndex { $0.code == code }!
                values.append((String(describing: all[index].name), word, argument.map { Word(mutating: $0) }))
            }
        }
        let end = Int(semq_options_end())
        guard end > 0 else { return }
        trailing = Array(words[(end - 1)...])
        trailingWords = Array(typed[(end - 1)...])
    }
}

extension Options {
    /// What is wrong with a word that getopt refuses.
    private static func flaw(of word: String, _ options: [Option]) -> String {
        let name = word.prefix { $0 != "=" }.dropFirst(2)
        let names = options.map { String(describing: $0.name) }
        let meant = names.contains(String(name)) ? [String(name)] : names.filter { $0.hasPrefix(name) }
        guard word.hasPrefix("--"), !name.isEmpty, !meant.isEmpty else {
            return "‘\(word.printable)’ is no option of it"
        }
        return meant.count == 1
            ? "‘\(word.printable)’: --\(meant[0]) takes no value"
            : "‘\(word.printable)’ may mean \(meant.map { "--" + $0 }.joined(separator: " or "))"
    }
}

// MARK: values, each refused with a sentence

extension Options {
    func wrong(_ name: String, _ value: String, _ wanted: String) -> SemaphoreError {
        SemaphoreError(.usage, "--\(name) \(value.printable): wants \(wanted)")
    }

    func integer(_ name: String, in range: ClosedRange<Int>, _ wanted: String) throws -> Int? {
        guard let text = value(name) else { return nil }
        guard let number = Int(text), range.contains(number) else { throw wrong(name, text, wanted) }
        return number
    }

    /// A number of seconds, decimals allowed.
    func seconds(_ name: String) throws -> Duration? {
        guard let text = value(name) else { return nil }
        guard let number = Double(text), number.isFinite, number >= 0, !text.contains(where: "xX".contains) else {
            throw wrong(name, text, "a number of seconds, 0 or more")
        }
        // 300 years serve as for ever; Duration overflows far beyond.
        return .nanoseconds(Int64(min(number * 1e9, 9.2e18)))
    }

    func ticket() throws -> Int64? {
        guard let text = value("ticket") else { return nil }
        guard let number = Int64(text), number > 0 else {
            throw wrong("ticket", text, "a ticket number as `semq status` shows it")
        }
        return number
    }
}
