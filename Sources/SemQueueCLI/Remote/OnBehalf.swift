internal import Glibc
internal import SemQueue

/// Somebody on another host for whom an agent runs this process (`--there`), and reads what it says.
struct OnBehalf {
    let party: Party
    /// What this host is called there; nil where that wasn't told.
    private let host: String?
    /// What the semaphore is called there.
    private let name: String
    /// The semaphore, here.
    private let path: String
    /// Where the agent wants to be told of what is granted, by which it knows the turn again. The command doesn't get it.
    private let grants: Int32
    /// The process of the agent, which stands in for the terminal that there is elsewhere.
    private let agent = getppid()

    /// Nil for a process that somebody has started here. The command isn't told.
    static let current: OnBehalf? = {
        guard let text = Environment.value("SEMQ_ON_BEHALF") else { return nil }
        unsetenv("SEMQ_ON_BEHALF")
        guard let onBehalf = OnBehalf(text) else { return nil }
        // Ctrl-C is for a group as it is at a terminal, and the agent is not to be in it.
        setsid()
        return onBehalf
    }()

    init?(_ text: String) {
        let lines = text.split(separator: "\n", maxSplits: 4, omittingEmptySubsequences: false).map(String.init)
        let words = lines[0].split(separator: " ", maxSplits: 2).map(String.init)
        guard words.count == 3, let pid = Int32(words[0]) else { return nil }
        party = Party(pid: pid, host: words[1], user: words[2], description: "")
        let areTold = lines.count == 5 && !lines[1].isEmpty && !lines[2].isEmpty
        host = areTold ? lines[1] : nil
        (name, path) = areTold ? (lines[2], lines[4]) : ("", "")
        grants = lines.count == 5 ? Int32(lines[3]) ?? -1 : -1
        if grants >= 0 { _ = fcntl(grants, F_SETFD, FD_CLOEXEC) }
    }

    /// Before the command starts.
    func tell(of granted: [any Grant]) {
        for case let grant as LocalGrant in granted {
            let report = grant.report
            send(grants, report, report.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        }
    }

    /// Before this process dies of the signal that the command has died of: else it would look killed itself.
    func tell(ofEnd signal: Int32) {
        let line = EndReport(signal: signal).line
        send(grants, line, line.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }

    /// Whether a signal is one of a terminal's keys, which the agent gives to the whole group as the kernel does.
    func isKey(_ signal: Int32, from sender: Int32) -> Bool {
        sender == agent && (signal == SIGINT || signal == SIGQUIT)
    }

    /// A message by the names that are known there.
    func named(_ message: String) -> String {
        guard let host else { return message }
        let renamed = message.renaming("./" + path, to: name).renaming(path, to: name)
        return renamed.hasPrefix(name) || renamed.contains(host + ":") ? renamed : "\(host): \(renamed)"
    }

    /// Where something is made, which is told with this host's own name for itself.
    func named(place: String) -> String { host.map { "\($0)\(place.drop { $0 != ":" })" } ?? place }
}
