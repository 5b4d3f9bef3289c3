/// What `semq doctor` finds out about a queue on another host, once it is known that the way there is open.
package struct RemoteDiagnosis {
    private let semaphore: RemoteSemaphore
    private let version: String
    private let tell: (Diagnosis.Finding) -> Void

    /// - Parameters:
    ///   - version: of this program.
    ///   - tell: hears of each finding as soon as it is made.
    package init(_ semaphore: RemoteSemaphore, version: String, tell: @escaping (Diagnosis.Finding) -> Void) {
        self.semaphore = semaphore
        self.version = version
        self.tell = tell
    }

    /// Ends with the first finding that makes the rest impossible.
    package func run() {
        guard let about = agent() else { return }
        queue()
        clocks(about)
        lease(about.answer)
    }

    private struct About {
        var answer: Message
        /// Before it was asked for, and when it was there.
        var asked: Timestamp
        var answered: Timestamp
    }

    private func agent() -> About? {
        let host = semaphore.host
        do {
            // Connects, so that the clocks are compared over a connection that stands.
            _ = try semaphore.ask(Message("about"))
            let asked = Timestamp.now()
            let answer = try semaphore.ask(Message("about")).last!
            let about = About(answer: answer, asked: asked, answered: .now())
            let theirs = answer["version"] ?? "?"
            let place = "\(answer["user"] ?? "?")@\(answer["host"] ?? "?")"
            let way = host.hasUploaded ? "put there just now as" : "found as"
            let program = host.agent.command.dropLast(" agent".count)
            // As it is in PATH there, or below the home folder.
            let found = "\(way) \(program.contains("/") ? "~/" : "")\(program)"
            let folder = answer["restricted"] ?? ""
            // Of a forced command nobody here knows which file it is.
            let text =
                "version \(theirs), \(folder.isEmpty ? found : "for queues below \(folder) only"), runs as \(place)"
            if theirs == version {
                tell(.init(subject: "semq", verdict: .good, text: text))
            } else {
                tell(.init(subject: "semq", verdict: .note, text: "\(text); here it is \(version)"))
            }
            return about
        } catch {
            tell(.init(subject: "semq", error))
            return nil
        }
    }

    private func queue() {
        do {
            for message in try semaphore.ask(Message("doctor")) {
                guard var finding = Diagnosis.Finding(message) else { continue }
                finding.text = finding.text.renaming(semaphore.path, to: semaphore.name)
                tell(finding)
            }
        } catch let error as SemaphoreError where error.code == .permission {
            tell(.init(subject: "file", verdict: .note, text: error.message))
        } catch {
            tell(.init(subject: "file", error))
        }
    }

    /// The other's clock was read at some time between question and answer.
    private func clocks(_ about: About) {
        guard let theirs = about.answer.integer("now").map(Timestamp.init) else { return }
        tell(.clocks(theirs: theirs, asked: about.asked, answered: about.answered))
    }

    private func lease(_ answer: Message) {
        guard let from = answer.duration("lease-from"), let to = answer.duration("lease-to") else { return }
        tell(
            .init(
                subject: "lease", verdict: .good,
                text:
                    "\(from.rounded) to \(to.rounded), \(ClientLease.standard.rounded) unless --lease says otherwise: "
                    + "so long a holder that is cut off keeps its slot"))
    }
}

extension Diagnosis.Finding {
    init(subject: String, _ error: any Error) {
        let error = error as? SemaphoreError
        self.init(
            subject: subject, verdict: .bad, text: error?.message ?? "no answer", code: error?.code ?? .unreachable)
    }

    /// - Parameters:
    ///   - theirs: the other host's wall clock, read at some time between the other two, which are this one's.
    static func clocks(theirs: Timestamp, asked: Timestamp, answered: Timestamp) -> Diagnosis.Finding {
        let doubt = asked.age(at: answered) / 2
        let middle = Timestamp((asked.microseconds + answered.microseconds) / 2)
        let ahead = middle.age(at: theirs)
        let size = max(ahead, .zero - ahead)
        guard size > .seconds(2) + doubt else {
            return .init(
                subject: "clocks", verdict: .good,
                text: "within \(max(.milliseconds(100), size + doubt).rounded) of each other")
        }
        return .init(
            subject: "clocks", verdict: .note,
            text:
                "the host's is \(size.rounded) \(ahead > .zero ? "ahead of" : "behind") this one's: times in status and "
                + "history are off by that, leases are not; set them, by NTP for example")
    }

    var message: Message {
        let verdict =
            switch verdict {
            case .good: "good"
            case .note: "note"
            case .bad: "bad"
            }
        return Message("finding", [("subject", subject), ("verdict", verdict), ("text", text)])
    }

    init?(_ message: Message) {
        guard message.verb == "finding", let subject = message["subject"], let text = message["text"] else {
            return nil
        }
        let verdict: Diagnosis.Verdict =
            switch message["verdict"] {
            case "good": .good
            case "note": .note
            default: .bad
            }
        self.init(subject: subject, verdict: verdict, text: text)
    }
}
