/// The hosts that a program reaches, and how. One entry for each, so that its connections are shared.
package final class Hosts: Sendable {
    private let program: [String]
    private let binary: AgentBinary?
    private let hosts = Guarded<[Address.Host: RemoteHost]>([:])

    /// The program that carries links, chosen in the environment.
    package static let variable = "SEMQ_RSH"

    /// For a library's callers, in this process.
    static let shared = Result { try Hosts(rsh: nil, binary: AgentBinary.installed) }

    /// - Parameters:
    ///   - rsh: a program such as `ssh`, with options of its own; nil takes it from the environment.
    ///   - binary: what is put onto a host that has no semq; nil leaves that undone.
    /// - Throws: ``SemaphoreError`` with code `usage` where no program is named.
    package init(rsh: String?, binary: AgentBinary?) throws(SemaphoreError) {
        let words = (rsh ?? Environment.value(Self.variable))?.split(whereSeparator: \.isWhitespace).map(String.init)
        if let words, words.isEmpty {
            throw SemaphoreError(
                .usage, "--rsh, \(Self.variable): wants a program such as ssh, with options if need be")
        }
        program = words ?? ["ssh"]
        self.binary = binary
    }

    package func host(_ address: Address.Host) -> RemoteHost {
        hosts.withLock { hosts in
            if let known = hosts[address] { return known }
            let host = make(address)
            hosts[address] = host
            return host
        }
    }

    private func make(_ address: Address.Host) -> RemoteHost {
        let shell = RemoteShell.ssh(program, to: address)
        guard let binary else {
            return RemoteHost(name: "\(address)", agent: AgentCommand(shell: shell, command: "semq agent"))
        }
        let command = AgentCommand(shell: shell, command: "\(binary.remotePath) agent")
        return RemoteHost(name: "\(address)", agent: command) { alarm in
            try Bootstrap(shell: shell, binary: binary).run(alarm)
        }
    }

    /// - Throws: ``SemaphoreError`` where nothing is named.
    package func semaphore(_ name: String, _ options: RemoteSemaphore.Options) throws -> any NamedSemaphore {
        switch try Address(name) {
        case .local(let path): LocalSemaphore(path)
        case .remote(let address, let path):
            RemoteSemaphore(name: name, path: path, host: host(address), options: options)
        }
    }
}
