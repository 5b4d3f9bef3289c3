internal import SemQueue

/// The hosts that a command line names, and how they are reached.
final class Hosts {
    private let program: [String]
    private let bootstraps: Bool
    private var hosts: [Address.Host: RemoteHost] = [:]

    /// The options that choose it, for all commands that take a semaphore.
    static let options: [Options.Option] = [.init("rsh", argument: true), .init("no-bootstrap")]

    init(_ options: Options) throws {
        let chosen = options.value("rsh") ?? Environment.value("SEMQ_RSH")
        let words = chosen?.split(whereSeparator: \.isWhitespace).map(String.init)
        if let words, words.isEmpty {
            throw SemaphoreError(.usage, "--rsh: wants a program such as ssh, with options if need be")
        }
        program = words ?? ["ssh"]
        bootstraps = !options.has("no-bootstrap")
    }

    func host(_ address: Address.Host) -> RemoteHost {
        if let known = hosts[address] { return known }
        let shell = RemoteShell.ssh(program, to: address)
        let host: RemoteHost
        if bootstraps, let binary = AgentBinary.own {
            let command = AgentCommand(shell: shell, command: "\(binary.remotePath) agent")
            host = RemoteHost(name: "\(address)", agent: command) { alarm in
                try Bootstrap(shell: shell, binary: binary).run(alarm)
            }
        } else {
            host = RemoteHost(name: "\(address)", agent: AgentCommand(shell: shell, command: "semq agent"))
        }
        hosts[address] = host
        return host
    }

    /// - Throws: ``SemaphoreError`` where nothing is named.
    func semaphore(_ name: String, _ options: RemoteSemaphore.Options) throws -> any NamedSemaphore {
        switch try Address(name) {
        case .local(let path): LocalSemaphore(path)
        case .remote(let address, let path):
            RemoteSemaphore(name: name, path: path, host: host(address), options: options)
        }
    }
}
