internal import SemQueue

extension Hosts {
    /// The options that choose how hosts are reached, for all commands that take a semaphore.
    static let options: [Options.Option] = [.init("rsh", argument: true), .init("no-bootstrap")]

    convenience init(_ options: Options) throws {
        try self.init(
            rsh: options.value("rsh"), binary: options.has("no-bootstrap") ? nil : AgentBinary.own)
    }
}
