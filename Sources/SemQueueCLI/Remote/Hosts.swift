internal import SemQueue

extension Hosts {
    /// The options that choose how hosts are reached, for all commands that take a semaphore.
    static let options: [Options.Option] = [.init("rsh", argument: true), .init("no-bootstrap")]

    convenience init(_ options: Options) throws {
        let carrier = try Carrier(rsh: options.value("rsh")) ?? .own(isVerbose: options.has("verbose"))
        self.init(carrier, binary: options.has("no-bootstrap") ? nil : AgentBinary.own)
    }
}
