internal import CSemQueue

/// The words that this process was started with.
///
/// `CommandLine.arguments` finds them by way of /proc/self/maps, and is empty where that can't be opened.
enum Arguments {
    static var all: [String] { (0..<semq_argument_count()).map { String(cString: semq_argument($0)) } }
}
