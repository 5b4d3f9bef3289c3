internal import SemQueue

/// `semq doctor`: tells in order what works and what to do about the rest.
struct DoctorCommand {
    private let subject: Subject

    private enum Subject {
        case thisFolder
        case local(path: String)
        case remote(RemoteSemaphore, Address.Host, Hosts.Carrier)
    }

    static let options: [Options.Option] = Hosts.options

    init(_ words: [String]) throws {
        let options = try Options("doctor", words, Self.options)
        if options.has("help") { throw HelpAsked(command: "doctor") }
        let operands = options.operands + (options.trailing ?? [])
        guard operands.count <= 1 else {
            throw SemaphoreError(.usage, "doctor: name one semaphore at most; see: semq doctor --help")
        }
        guard let name = operands.first else {
            subject = .thisFolder
            return
        }
        switch try Address(name) {
        case .local(let path): subject = .local(path: path)
        case .remote(let host, let path):
            let remote = try Hosts(options).host(host)
            subject = .remote(
                RemoteSemaphore(name: name, path: path, host: remote, options: RemoteSemaphore.Options()), host,
                try Hosts.carrier(options))
        }
    }

    func run() throws -> ExitCode {
        switch subject {
        case .thisFolder: return show(Diagnosis.ofFolder("."))
        case .local(let path): return show(Diagnosis.of(path))
        case .remote(let semaphore, let host, let carrier):
            // Each as soon as it is known: some take seconds.
            var exitCode = ExitCode.success
            func tell(_ finding: Diagnosis.Finding) {
                show(finding, width: "configuration".count)
                if finding.verdict == .bad, exitCode == .success { exitCode = ExitCode(finding.code) }
            }
            if LinkDiagnosis(carrier, to: host, tell: tell).run() {
                RemoteDiagnosis(semaphore, version: Version.current, tell: tell).run()
            }
            return exitCode
        }
    }

    private func show(_ findings: [Diagnosis.Finding]) -> ExitCode {
        let width = findings.map(\.subject.count).max() ?? 0
        for finding in findings { show(finding, width: width) }
        return findings.contains { $0.verdict == .bad } ? .unusable : .success
    }

    private func show(_ finding: Diagnosis.Finding, width: Int) {
        let mark =
            switch finding.verdict {
            case .good: "ok  "
            case .note: "note"
            case .bad: "BAD "
            }
        let subject = finding.subject.printable + String(repeating: " ", count: max(0, width - finding.subject.count))
        Terminal.print("\(mark)  \(subject)  \(finding.text.printable)")
    }
}
