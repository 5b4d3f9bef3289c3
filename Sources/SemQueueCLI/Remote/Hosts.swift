internal import SemQueue

extension Hosts {
    /// The options that choose how hosts are reached, for all commands that take a semaphore.
    static let options: [Options.Option] = [.init("rsh", argument: true), .init("no-bootstrap")]

    static func carrier(_ options: Options) throws -> Carrier {
        try Carrier(rsh: options.value("rsh")) ?? .own(isVerbose: options.has("verbose"))
    }

    convenience init(_ options: Options) throws {
        self.init(try Self.carrier(options), binary: options.has("no-bootstrap") ? nil : AgentBinary.own)
    }
}
