internal import SemQueue

extension Hosts {
    /// The options that choose how hosts are reached, for all commands that take a semaphore.
    static let options: [Options.Option] = [.init("rsh", argument: true), .init("no-bootstrap")]

    static func carrier(_ options: Options) throws -> Carrier {
        let isVerbose = options.has("verbose")
        guard let chosen = try Carrier(rsh: options.value("rsh")) else { return .own(isVerbose: isVerbose) }
        if isVerbose, case .program(let words) = chosen {
            let choice = options.value("rsh") == nil ? variable : "--rsh"
            Terminal.say("other hosts by way of \(words.joined(separator: " ")), chosen by \(choice)")
        }
        return chosen.becoming(isVerbose: isVerbose)
    }

    convenience init(_ options: Options) throws {
        TerminalTurn.prepare()
        self.init(try Self.carrier(options), binary: options.has("no-bootstrap") ? nil : AgentBinary.own)
    }

    /// What a word of the command line names. Nothing is done for hosts that are not named.
    static func semaphores(
        _ names: [String], _ options: Options, _ remote: RemoteSemaphore.Options = RemoteSemaphore.Options()
    ) throws -> [any NamedSemaphore] {
        var hosts: Hosts?
        return try names.map { name in
            if case .local(let path) = try Address(name) { return LocalSemaphore(path) }
            let known = try hosts ?? Hosts(options)
            hosts = known
            return try known.semaphore(name, remote)
        }
    }
}
