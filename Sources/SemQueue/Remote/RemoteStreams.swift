internal import CSemQueue
internal import Glibc

/// The three streams and the signals of this process, tied to a conversation.
struct RemoteStreams {
    private let input: InputThread
    private let output: OutputThread
    private let signals: [Int32]
    /// Readable while one of them is pending.
    private let descriptor: Int32
    private var window = Window()
    private var inputHasEnded = false
    /// Output that its reader has not taken yet, and for which no receipt is given before.
    private var unwritten: [(descriptor: Int32, bytes: [UInt8])] = []
    private var isDeaf: Set<Int32> = []
    private var ended: RemoteRun.End?
    /// The agent has taken the command on.
    private var isAccepted = false
    /// After a cut, until it is known what the other side has.
    private var sendsAgain = false
    /// Signals of a time without a connection, to be passed on by the next.
    private var held: [Int32] = []
    /// One that ends a program, for which no receipt has come: long before a connection is known to be cut it may be.
    private var unheard: (number: Int64, name: String, at: Duration, isTold: Bool)?

    init(input: InputThread, output: OutputThread, signals: [Int32], descriptor: Int32) {
        (self.input, self.output, self.signals, self.descriptor) = (input, output, signals, descriptor)
    }

    mutating func carry(
        _ session: LeasedConversation, _ name: String, _ alarm: Alarm, _ tell: (String) -> Void
    ) throws -> RemoteRun.End {
        // Where nobody takes what is said, whoever said it would renew no lease.
        func say(_ news: String) {
            var place = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
            if poll(&place, 1, 0) == 1, place.revents & Int16(POLLOUT) != 0 { tell(news) }
        }
        /// - Returns: how to end for their sake.
        func takeSignals() -> RemoteRun.End? {
            guard let end = readSignals(session, name, say) else { return nil }
            _ = session.farewell(within: .seconds(1))
            return end
        }
        while true {
            write(session)
            if let ended, unwritten.isEmpty {
                _ = session.farewell(within: .seconds(1))
                return ended
            }
            let taken = window.taken
            session.resumption = { [("n", "\(taken)")] }
            if wantsInput(session) { input.ask() }
            let event = session.next(
                alarm, within: unheard == nil ? .seconds(5) : Self.patience, or: pollEvents(session))
            if wantsInput(session) { readInput(session) }
            // First: it may be the receipt of a signal.
            if case .message(let message)? = event { try take(message, session, name) }
            if case .resumed? = event {
                unheard?.at = .sinceBoot()
                unheard?.isTold = false
            }
            if let end = takeSignals() { return end }
            if !session.isCut, let signal = unheard, !signal.isTold, .sinceBoot() - signal.at >= Self.patience {
                unheard?.isTold = true
                say("\(name): no answer yet; \(Self.prospect(of: signal.name))")
            }
            switch event {
            case nil: break
            case .cut where !isAccepted: break
            case .cut: say("\(name): the connection is lost; the command there goes on while it is tried again")
            case .resumed(let time, let isNews):
                sendsAgain = true
                if isNews { say("\(name): connected again after \(time.rounded)") }
            case .ended where ended != nil:
                while !unwritten.isEmpty, !alarm.isRung {
                    write(session)
                    awaitDescriptors(
                        [output.descriptor, descriptor].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) },
                        alarm, .seconds(1))
                    if let end = takeSignals() { return end }
                }
                return ended!
            case .ended(let end):
                switch end {
                case .gone where !isAccepted:
                    throw SemaphoreError(
                        .unreachable,
                        "\(name): the connection was lost before the host's semq answered; what it has begun ends with "
                            + "the lease")
                case .gone(let why):
                    return .lost(
                        "no way to the command there: \(why); if it still runs, it keeps its turn until it ends")
                case .expired(let why):
                    return .lost("the lock is lost: \(why); the command there was ended")
                case .superseded:
                    return .lost("no way to the command there: somebody else has taken over this connection")
                case .cutOff:
                    return .lost(
                        "the lock is lost: no connection until its lease was over; the command there is being ended")
                case .failed(let error): throw error
                }
            case .message: break
            }
        }
    }

    private func wantsInput(_ session: LeasedConversation) -> Bool {
        !inputHasEnded && window.hasRoom && !session.isCut
    }

    private func pollEvents(_ session: LeasedConversation) -> [pollfd] {
        var events = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
        if wantsInput(session) {
            events.append(pollfd(fd: input.descriptor, events: Int16(POLLIN), revents: 0))
        }
        if output.isWriting { events.append(pollfd(fd: output.descriptor, events: Int16(POLLIN), revents: 0)) }
        return events
    }

    private mutating func take(_ message: Message, _ session: LeasedConversation, _ name: String) throws {
        switch message.verb {
        case "accepted":
            isAccepted = true
            if let agent = message["agent"], let secret = message["secret"] {
                session.identify(agent: agent, secret: secret)
            }
        case "have":
            let number = message.integer("n") ?? 0
            window.delivered(upTo: number)
            if let signal = unheard, number >= signal.number { unheard = nil }
            if sendsAgain { for message in window.again(after: number) { session.send(message) } }
            sendsAgain = false
        case "out" where window.accepts(message): unwritten.append((STDOUT_FILENO, message.body))
        case "err" where window.accepts(message): unwritten.append((STDERR_FILENO, message.body))
        case "ended" where window.accepts(message):
            ended = Self.end(message)
            // Before all is written the agent has to stay.
            if unwritten.isEmpty { session.send(window.receipt) }
        // Known already: the receipt was lost with a connection.
        case "out", "err", "ended": if unwritten.isEmpty { session.send(window.receipt) }
        case "error": throw SemaphoreError(message, path: "", as: name)
        default: break
        }
    }

    private static func end(_ message: Message) -> RemoteRun.End {
        guard let signal = message.integer("signal").flatMap({ (1...64).contains($0) ? Int32($0) : nil }) else {
            return .exited(message.integer("code").flatMap { (0...255).contains($0) ? Int32($0) : nil } ?? 74)
        }
        // Of a later version it may be another word.
        return message["killed"].map { .lost((KilledThere(rawValue: $0) ?? .unknown).sentence(signal)) }
            ?? .signaled(signal)
    }

    /// Hands on what has come, as far as its readers take it, and gives the receipt.
    private mutating func write(_ session: LeasedConversation) {
        while let (descriptor, bytes) = unwritten.first {
            var isDone = isDeaf.contains(descriptor)
            if !isDone, output.isWriting {
                switch output.result {
                case nil: return
                case .written: isDone = true
                case .failed:
                    // Nobody reads it any more: the command is to learn that as it would here.
                    isDone = true
                    isDeaf.insert(descriptor)
                    session.send(window.number("deaf", [("to", descriptor == STDOUT_FILENO ? "out" : "err")]))
                }
            }
            guard isDone else { return output.write(bytes, to: descriptor) }
            unwritten.removeFirst()
            if unwritten.isEmpty { session.send(window.receipt) }
        }
    }

    private mutating func readInput(_ session: LeasedConversation) {
        switch input.part {
        case nil: break
        case .bytes(let bytes): session.send(window.number("in", body: bytes))
        case .end:
            inputHasEnded = true
            session.send(window.number("in-end"))
        }
    }

    /// Passes on what has come, or keeps it until there is a connection again.
    /// - Returns: how this process is to end: by one that ends it, where the command has ended and its output is taken by
    ///   nobody, or by a second such without a connection.
    private mutating func readSignals(
        _ session: LeasedConversation, _ name: String, _ say: (String) -> Void
    ) -> RemoteRun.End? {
        func pass(_ number: Int32) {
            let message = window.number("signal", [("number", "\(number)")])
            session.send(message)
            if unheard == nil, let name = Self.deadly[number] {
                unheard = (message.integer("n") ?? 0, name, .sinceBoot(), isTold: false)
            }
        }
        if !session.isCut {
            for number in held { pass(number) }
            held = []
        }
        var fromProcess = false
        var sender: Int32 = 0
        while case let number = semq_wait_signal(signals, Int32(signals.count), 0, &fromProcess, &sender), number > 0 {
            let deadly = Self.deadly[number]
            switch (number, ended, session.isCut) {
            case (SIGTSTP, _, _):
                Carriers.goOn()
                say(
                    "\(name): Ctrl-Z stops nothing here, since the lease must be renewed; Ctrl-C ends the command there"
                )
            case (_, .some, _): if deadly != nil { return .signaled(number) }
            case (_, nil, let isCut):
                let isTold = unheard?.isTold == true || held.contains { Self.deadly[$0] != nil }
                if deadly != nil, isTold {
                    say("\(name): left without a connection; the command there is ended when its lease is over")
                    return .signaled(number)
                }
                guard isCut else {
                    pass(number)
                    continue
                }
                held.append(number)
                if let deadly { say("\(name): no connection; \(Self.prospect(of: deadly))") }
            }
        }
        return nil
    }

    private static func prospect(of signal: String) -> String {
        "\(signal) is passed on when the connection is back; once more, and semq ends here, and the command there when its "
            + "lease is over"
    }

    private static let patience = Duration.seconds(2)
    private static let deadly = [SIGHUP: "SIGHUP", SIGINT: "SIGINT", SIGQUIT: "SIGQUIT", SIGTERM: "SIGTERM"]
}
