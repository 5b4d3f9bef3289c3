internal import SemQueue

/// `semq doctor`: tells in order what works and what to do about the rest.
struct DoctorCommand {
    /// Nil looks at this folder.
    private let path: String?

    init(_ words: [String]) throws {
        let options = try Options("doctor", words, [])
        if options.has("help") { throw HelpAsked(command: "doctor") }
        let operands = options.operands + (options.trailing ?? [])
        guard operands.count <= 1 else {
            throw SemaphoreError(.usage, "doctor: name one semaphore at most; see: semq doctor --help")
        }
        path = try operands.first.map(Address.localPath)
    }

    func run() throws -> ExitCode {
        let findings = path.map(Diagnosis.of) ?? Diagnosis.ofFolder(".")
        let width = findings.map(\.subject.count).max() ?? 0
        for finding in findings {
            let mark =
                switch finding.verdict {
                case .good: "ok  "
                case .note: "note"
                case .bad: "BAD "
                }
            let subject = finding.subject + String(repeating: " ", count: width - finding.subject.count)
            Terminal.print("\(mark)  \(subject)  \(finding.text.printable)")
        }
        return findings.contains { $0.verdict == .bad } ? .unusable : .success
    }
}
