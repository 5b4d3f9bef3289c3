internal import SemQueue

/// `semq link`: carries a link to another host; started by `semq` itself, with the words that `ssh` takes.
struct LinkCommand {
    private let link: LinkProcess

    init(_ words: [String]) throws {
        let options = try Options(
            "link", words,
            [
                .init("login", "l", argument: true), .init("port", "p", argument: true), .init("batch"),
                .init("in-turn"), .init("share"), .init("by", argument: true),
                .init("verbose", "v"),
            ])
        if options.has("help") { throw HelpAsked(command: "link") }
        guard let trailing = options.trailing, trailing.count == 2 else {
            throw SemaphoreError(.usage, "link: wants -- HOST COMMAND; it is started by semq itself")
        }
        let port = try options.integer("port", in: 1...65535, "a port number")
        let host = Address.Host(name: trailing[0], user: options.value("login"), port: port)
        var link = LinkProcess(host: host, command: trailing[1])
        link.isBatch = options.has("batch")
        link.shares = options.has("share")
        link.program = options.value("by").map { $0.split(separator: " ").map(String.init) }
        link.asksInTurn = options.has("in-turn")
        link.isVerbose = options.has("verbose")
        self.link = link
    }

    func run() -> ExitCode { ExitCode(rawValue: link.run()) }
}
