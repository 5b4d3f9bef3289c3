/// The hosts that a program reaches, and how. One entry for each, so that its connections are shared.
package final class Hosts: Sendable {
    private let carrier: Carrier
    private let binary: AgentBinary?
    private let hosts = Guarded<[Address.Host: RemoteHost]>([:])

    /// What carries links.
    package enum Carrier: Sendable {
        /// SSH sessions in this process.
        case sessions
        /// A process of this very program.
        case own(isVerbose: Bool)
        /// OpenSSH's client, with options of its own, which a process of this very program becomes.
        case ssh([String], isVerbose: Bool)
        /// A program such as `ssh`, with options of its own.
        case program([String])

        /// Chosen by hand, on the command line or in the environment; nil leaves the choice.
        /// - Throws: ``SemaphoreError`` with code `usage` where no program is named.
        package init?(rsh: String?) throws(SemaphoreError) {
            let variable = Environment.value(Hosts.variable).flatMap { $0.isEmpty ? nil : $0 }
            guard let chosen = rsh ?? variable else { return nil }
            let words = chosen.split(whereSeparator: \.isWhitespace).map(String.init)
            guard !words.isEmpty else {
                throw SemaphoreError(
                    .usage, "--rsh, \(Hosts.variable): wants a program such as ssh, with options if need be")
            }
            self = .program(words)
        }

        /// For a program that can become it; see ``LinkProcess``.
        package func becoming(isVerbose: Bool) -> Carrier {
            if case .program(let words) = self, SSHProgram.isNamed(by: words) {
                .ssh(words, isVerbose: isVerbose)
            } else {
                self
            }
        }
    }

    /// The program that carries links, chosen in the environment.
    package static let variable = "SEMQ_RSH"

    /// For a library's callers, in this process.
    static let shared = Result {
        Hosts(try Carrier(rsh: nil) ?? .sessions, binary: AgentBinary.installed)
    }

    /// - Parameters:
    ///   - carrier: what carries the links.
    ///   - binary: what is put onto a host that has no semq; nil leaves that undone.
    package init(_ carrier: Carrier, binary: AgentBinary?) {
        self.carrier = carrier
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
        let shell =
            switch carrier {
            case .sessions: RemoteShell.shared(to: address)
            case .own(let isVerbose): RemoteShell.own(to: address, isVerbose: isVerbose)
            case .ssh(let words, let isVerbose): RemoteShell.own(to: address, by: words, isVerbose: isVerbose)
            case .program(let words): RemoteShell.ssh(words, to: address)
            }
        guard let binary else {
            return RemoteHost(name: "\(address)", agent: AgentCommand(shell: shell, command: "semq agent"))
        }
        let command = AgentCommand(shell: shell, command: "\(binary.remotePath) agent")
        return RemoteHost(name: "\(address)", agent: command) { alarm, deadline, tell in
            try Bootstrap(shell: shell, binary: binary).run(command, alarm, deadline: deadline, tell)
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
