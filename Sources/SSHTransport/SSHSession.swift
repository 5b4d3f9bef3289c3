internal import Glibc

/// One SSH connection, which many channels share. A thread of its own drives it.
public final class SSHSession: Sendable {
    private let mailbox: Mailbox
    private let thread: Monitor<SessionThread?>
    private let limits: SSHLimits
    private let endpoint: Endpoint

    /// How the host was reached.
    public var hostName: String { endpoint.hostName }
    public var port: Int { endpoint.port }

    private init(_ mailbox: Mailbox, _ thread: SessionThread, _ negotiation: Negotiation) {
        self.mailbox = mailbox
        self.thread = Monitor(thread)
        limits = negotiation.options.limits
        endpoint = negotiation.endpoint
    }

    /// Whoever forgets to close a session does so by letting go of it.
    deinit {
        mailbox.end(.orderly)
        takeThread()?.detach()
    }

    /// Blocks the calling thread until the session is there. Each phase has its limit, and
    /// ``SSHOptions/cancellation`` ends any of them.
    /// - Throws: of kind `unsupported` where the `ssh` program could do what can't be done here.
    public static func connect(
        to destination: SSHDestination, options: SSHOptions = SSHOptions()
    ) throws(SSHError) -> SSHSession {
        let cancellation = options.cancellation ?? SSHCancellation()
        let configuration: SSHConfiguration
        if let given = options.configuration {
            configuration = given
        } else {
            configuration = try .resolve(destination)
        }
        for warning in configuration.warnings { options.warn(warning) }
        let endpoint = Endpoint(
            alias: destination.host, hostName: configuration.hostName, port: configuration.port)
        if let reason = configuration.needsOpenSSH() {
            throw endpoint.error(.unsupported, .configuration, "\(endpoint.description): \(reason)")
        }
        let check = try HostKeyCheck(destination, configuration, endpoint)
        let addresses = try Resolver(
            endpoint: endpoint, family: family(configuration.addressFamily), limit: options.limits.resolve,
            cancellation: cancellation, hasOpenSSH: configuration.hasOpenSSH
        ).addresses()
        let socket = try Dialer(
            endpoint: endpoint, addresses: addresses, limit: configuration.connectTimeout ?? options.limits.connect,
            cancellation: cancellation
        ).connect()
        options.passed(.connect, Address(peerOf: socket)?.text ?? endpoint.hostName)
        if let interval = configuration.serverAliveInterval {
            KeepAlive(interval: interval, count: configuration.serverAliveCountMax).apply(to: socket)
        } else if let silence = options.silence {
            KeepAlive(interval: silence / 2, count: 2).apply(to: socket)
        }
        let negotiation = try Negotiation(
            endpoint: endpoint, socket: socket, options: options, cancellation: cancellation)
        do {
            try negotiation.handshake(hostKeys: Methods.hostKeys(known: check.known.types))
            options.passed(.hostKey, try check.verify(negotiation.hostKey(), note: options.note))
            try Authentication(
                negotiation: negotiation, user: configuration.user, identities: configuration.identities,
                identitiesOnly: configuration.identitiesOnly, agentPath: configuration.identityAgent
            ).run()
            options.passed(.authentication, "as \(configuration.user)")
            return try start(negotiation)
        } catch {
            negotiation.abandon()
            throw error
        }
    }

    private static func family(_ family: SSHConfiguration.AddressFamily) -> Int32 {
        switch family {
        case .any: AF_UNSPEC
        case .inet: AF_INET
        case .inet6: AF_INET6
        }
    }

    private static func start(_ negotiation: Negotiation) throws(SSHError) -> SSHSession {
        guard let mailbox = Mailbox() else { throw noThread(negotiation.endpoint) }
        let driver = Handed(Driver(negotiation, mailbox: mailbox))
        let thread = SessionThread.start {
            // The socket is closed before anybody hears that the session is over.
            let reason = driver.take().run()
            mailbox.over.fulfill(reason)
        }
        guard let thread else { throw noThread(negotiation.endpoint) }
        return SSHSession(mailbox, thread, negotiation)
    }

    /// What belongs to one thread, and then to another.
    private final class Handed<Value>: @unchecked Sendable {
        private var value: Value?

        init(_ value: Value) { self.value = value }

        func take() -> Value {
            defer { value = nil }
            return value!
        }
    }

    private static func noThread(_ endpoint: Endpoint) -> SSHError {
        endpoint.error(
            .system, .open,
            "no thread or descriptor is left to drive the session with \(endpoint.description) "
                + "(\(String(cString: strerror(errno))))")
    }

    /// Runs a command. The descriptors are the session's from now on, whatever happens.
    /// - Parameters:
    ///   - command: as the log-in shell there takes it.
    ///   - input: its standard input; −1 for an empty one.
    ///   - output: its standard output; −1 where nobody wants it.
    ///   - error: its standard error; −1 where nobody wants it.
    ///   - window: how many bytes may be on their way here; more for bulk.
    /// - Throws: of kind `refused` where the session lives on.
    public func exec(
        _ command: String, input: Int32, output: Int32, error: Int32, window: Int = 1 << 20
    ) throws(SSHError) -> SSHChannel {
        try open(.exec(command), Opening.Ends(input: input, output: output, error: error), window)
    }

    /// Connects on from the host to a port that it can reach. Closing the input half closes the connection.
    public func openDirectTCP(
        host: String, port: Int, input: Int32, output: Int32
    ) throws(SSHError) -> SSHChannel {
        try open(.tcp(host: host, port: port), Opening.Ends(input: input, output: output, error: -1), 1 << 20)
    }

    /// Connects on to a Unix socket of the host's (OpenSSH 6.7 or newer there).
    public func openDirectSocket(
        path: String, input: Int32, output: Int32
    ) throws(SSHError) -> SSHChannel {
        try open(.unix(path: path), Opening.Ends(input: input, output: output, error: -1), 1 << 20)
    }

    private func open(_ purpose: Opening.Purpose, _ ends: Opening.Ends, _ window: Int) throws(SSHError) -> SSHChannel {
        let opening = try ask(for: purpose, ends, window)
        if let error = opening.answer.wait() { throw error }
        return opening.channel
    }

    /// Waits for nothing yet. The descriptors are closed where this throws.
    func ask(for purpose: Opening.Purpose, _ ends: Opening.Ends, _ window: Int) throws(SSHError) -> Opening {
        let channel = SSHChannel(number: mailbox.nextNumber(), mailbox: mailbox)
        let opening = Opening(
            purpose, ends: ends, channel: channel, window: UInt32(clamping: window), limit: limits.open)
        guard mailbox.post(.open(opening)) else {
            for descriptor in Set([ends.input, ends.output, ends.error]) where descriptor >= 0 {
                Glibc.close(descriptor)
            }
            throw mailbox.over.current
                ?? endpoint.error(.cancelled, .open, "the session with \(endpoint.description) was closed")
        }
        return opening
    }

    /// Why the session is no more; nil while it lives.
    public var failure: SSHError? { mailbox.over.current }

    /// Says goodbye and lets go of everything; channels end as `unknown`. Blocks for at most ``SSHLimits/close``,
    /// and is harmless when called again.
    public func close() {
        mailbox.end(.orderly)
        _ = mailbox.over.wait()
        takeThread()?.join()
    }

    /// As ``close()``, at once and without a goodbye: for a peer that has fallen silent. Does not block.
    public func abort() { mailbox.end(.abrupt) }

    /// As ``close()``, for tasks.
    func closed() async {
        mailbox.end(.orderly)
        _ = await mailbox.over.get()
        // It is on its last few instructions.
        takeThread()?.join()
    }

    private func takeThread() -> SessionThread? {
        thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
    }
}
