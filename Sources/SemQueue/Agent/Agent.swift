internal import CSemQueue
internal import Glibc

/// `semq agent`: what clients on other hosts talk to, over its standard input and output. It is an ordinary
/// local member of the queues on its host.
package final class Agent {
    private let client: Stream
    private let alarm = Alarm()
    private let policy: AgentPolicy
    private let answers: AgentAnswers

    /// - Parameter version: of this program.
    package init(_ policy: AgentPolicy = .open, version: String) {
        self.policy = policy
        answers = AgentAnswers(version: version, folder: policy.folder)
        client = Stream(
            input: fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), output: fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3))
        // Closed, the connection is closed.
        let nowhere = open("/dev/null", O_RDWR | O_CLOEXEC)
        for descriptor in [STDIN_FILENO, STDOUT_FILENO] where nowhere >= 0 { dup2(nowhere, descriptor) }
        // Whatever has carried this connection may be on this host, and be ended with its group: the place stays.
        setsid()
        // A connection that ends is no reason to.
        for number in [SIGHUP, SIGPIPE] { semq_signal_default(number, true) }
    }

    /// Serves one client until it leaves.
    /// - Throws: ``SemaphoreError`` where what talks to it is no client.
    package func run() throws {
        guard try greet() else { return }
        // A client whose host went off says nothing more, and no end of the stream comes from there either.
        var limit = Hello.requestLimit
        while let request = nextMessage(within: limit), let next = try serve(request) { limit = next }
        drain()
    }

    private func greet() throws -> Bool {
        guard let greeting = nextMessage(within: Hello.timeLimit) else {
            throw SemaphoreError(.usage, "nobody said hello: this is what a semq on another host talks to")
        }
        do throws(SemaphoreError) {
            let answer = try Hello.answer(to: greeting)
            // On a line of its own, whatever was printed before.
            client.send([UInt8(ascii: "\n")] + answer.bytes)
            return true
        } catch {
            client.send(
                [UInt8(ascii: "\n")]
                    + Message(
                        "semq-agent", [("nonce", greeting["nonce"] ?? "?"), ("version", "0"), ("text", error.message)]
                    )
                    .bytes)
            drain()
            if greeting.verb == "semq" { return false }
            throw error
        }
    }

    /// The next message, or nil at the end of the stream or of the limit.
    private func nextMessage(within limit: Duration) -> Message? {
        let end = Duration.monotonic() + limit
        while true {
            switch client.receive() {
            case .message(let message): return message
            case .end: return nil
            case .garbage(let garbage):
                let sample = String(decoding: garbage.sample, as: UTF8.self)
                client.send(SemaphoreError(.usage, "what comes is not semq's protocol: \(sample)").asMessage.fitting)
                return nil
            case .nothing: break
            }
            let rest = end - .monotonic()
            if rest <= .zero { return nil }
            awaitDescriptors(client.pollEvents, alarm, rest)
            client.flush()
        }
    }

    /// As fast as the client takes it.
    private func reply(_ answer: [Message]) {
        var bytes: [UInt8] = []
        for (index, message) in answer.enumerated() {
            bytes += message.fitting.bytes
            guard bytes.count > 32 << 10 || index == answer.count - 1 else { continue }
            client.send(bytes)
            bytes = []
            let end = Duration.monotonic() + .seconds(60)
            while client.hasUnsent, index < answer.count - 1 {
                guard .monotonic() < end else { return client.close() }
                awaitDescriptors([pollfd(fd: client.output, events: Int16(POLLOUT), revents: 0)], alarm, .seconds(1))
                client.flush()
            }
        }
    }

    /// What was said last gets out, if the client takes it within a second.
    private func drain() {
        let end = Duration.monotonic() + .seconds(1)
        while client.hasUnsent, Duration.monotonic() < end {
            awaitDescriptors([pollfd(fd: client.output, events: Int16(POLLOUT), revents: 0)], alarm, .milliseconds(100))
            client.flush()
        }
    }

    /// - Returns: how long the next request may take; nil when the conversation is over.
    private func serve(_ request: Message) throws -> Duration? {
        do {
            let request = try policy.admit(request)
            switch request.verb {
            case "acquire":
                return try AgentSession(request, client, AgentMember(request, isRestricted: policy.isRestricted)).run()
                    ? Hello.requestLimit : nil
            case "there", RemoteRun.newerVerb:
                return try AgentSession(request, client, AgentThere(request)).run() ? Hello.requestLimit : nil
            case "resume": return try resume(request) ? Hello.requestLimit : nil
            // Said as a membership ended.
            case "beat", "take": return Hello.requestLimit
            case "goodbye":
                client.send(Message("bye"))
                return nil
            default: reply(try answers.to(request))
            }
        } catch let error as SemaphoreError {
            client.send(policy.told(error, about: request).asMessage.fitting)
        }
        return Hello.nextRequestLimit
    }

    /// One whose socket was taken away makes it anew within a fifth of a second.
    private func find(_ name: RendezvousName) -> Rendezvous.Found {
        for _ in 0..<3 {
            let found = Rendezvous.connect(to: name)
            guard case .nobody = found else { return found }
            alarm.sleep(.milliseconds(100))
        }
        return .nobody
    }

    /// Carries the client on to the agent that it had before.
    private func resume(_ request: Message) throws(SemaphoreError) -> Bool {
        var gone = "the agent that held the place is no longer there"
        switch request["agent"].flatMap(RendezvousName.init).map(find) ?? .nobody {
        case .agent(let descriptor):
            let agent = Stream(input: descriptor, output: descriptor)
            agent.send(request)
            Relay.run(client, agent)
            return false
        case .busy: throw SemaphoreError(.unreachable, "the agent that holds the place doesn't answer")
        case .impostor: gone += ", and another user listens under its name"
        case .nobody: break
        }
        client.send(Message("error", [("code", "gone"), ("text", gone)]))
        return true
    }
}
