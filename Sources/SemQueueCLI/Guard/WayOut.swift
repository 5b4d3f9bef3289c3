internal import SemQueue

/// How what keeps a turn can be ended, as the person whose turn it is is told.
enum WayOut: Equatable {
    /// `semq` has the terminal, so that Ctrl-C reaches it.
    case terminal
    /// In the background or without a terminal: by a signal to the `semq` that somebody has started.
    case signal(semq: Int32)
    /// The same where that `semq` is on another host, of which nothing is known here.
    case elsewhere
    /// By nobody here: these processes are another user's, whom kill(2) keeps from us.
    case otherUser([Int32])

    /// A clause about what keeps the turn.
    var advice: String {
        switch self {
        case .terminal: "Ctrl-C ends it"
        case .signal(let semq): "kill \(semq) (this semq) ends it"
        case .elsewhere: "Ctrl-C, or SIGTERM to your semq, ends it"
        case .otherUser(let pids):
            "it is another user's, and not ours to end: \(Self.command(pids))"
        }
    }

    /// What ends processes that are not ours to end.
    static func command(_ pids: [Int32]) -> String {
        "sudo kill \(pids.prefix(4).map { "\($0)" }.joined(by: " "))"
    }
}
