/// A fair semaphore that is one file: whoever can reach the file takes turns, across tasks, threads,
/// processes and containers of a machine.
///
///     let board = try SemaphoreQueue("board.queue")
///     try await board.withPermit { permit in
///         try await flash(fencedBy: permit.token)
///     }
///
/// A queue is served first come, first served, higher priority first. Holding a permit is holding a
/// kernel lock, so a permit ends with its process, however that dies.
public struct SemaphoreQueue: Sendable {
    /// How to stand in a queue.
    public struct Options: Sendable {
        /// From −1000 to 1000; higher goes first.
        public var priority = 0
        /// Why, shown to those who wait behind.
        public var description = ""
        /// How many may hold at a time, for a queue that is made by this; refused where the queue was made
        /// otherwise. Nil takes the queue as it is, and makes it for one.
        public var concurrency: Int?
        /// For a queue on another host: how long it may be cut off from us before the permit is lost; from 5 to
        /// 60 seconds.
        public var lease: Duration

        public init(
            priority: Int = 0, description: String = "", concurrency: Int? = nil, lease: Duration = .seconds(15)
        ) {
            self.priority = priority
            self.description = description
            self.concurrency = concurrency
            self.lease = lease
        }
    }

    /// As messages name it: a path from the root, or the address on another host.
    private let path: String
    private let place: Place

    private enum Place: Sendable {
        case here(KeptOpen)
        case there(RemoteHost, path: String)
    }

    /// Names a queue; its file is made by the first to acquire.
    ///
    /// Connections to a host are shared by all queues of a process. A host is reached as `ssh` reaches it, or by the
    /// program that SEMQ_RSH names; the `semq` found in PATH is put there where there is none.
    /// - Parameter address: a path (a relative one starts at the current folder as it is now), or
    ///   `user@host:path`, or `ssh://user@host:port/path`.
    /// - Throws: ``SemaphoreError`` with code `usage` for an address that names nothing.
    public init(_ address: String) throws {
        switch try Address(address) {
        case .local(let path):
            self.path = QueueFile.fromRoot(path)
            place = .here(KeptOpen(self.path))
        case .remote(let host, let remotePath):
            path = address
            place = .there(try Hosts.shared.get().host(host), path: remotePath)
        }
    }

    // MARK: taking turns

    /// Waits for a permit, runs the body under it, and gives it back.
    ///
    /// Inside the body of the same queue the body runs under the permit that is held already.
    /// - Parameters:
    ///   - options: how to stand in the queue.
    ///   - body: is cancelled if the permit is lost: somebody ended this turn with `semq release`, the queue file was
    ///     deleted (noticed within about a second), or the queue's host was out of reach for 0.7 of the lease.
    /// - Returns: what the body returns.
    /// - Throws: what the body throws; `CancellationError` when the task is cancelled while it waits, which
    ///   frees its place at once; ``SemaphoreError`` when the queue can't be used, or with code `removed` or
    ///   `lost` when the turn was ended.
    public func withPermit<Result: Sendable>(
        _ options: Options = Options(), _ body: @escaping @Sendable (Permit) async throws -> Result
    ) async throws -> Result {
        guard let result = try await run(options, limit: nil, body) else {
            preconditionFailure("without a limit the wait ends with a permit or throws")
        }
        return result
    }

    /// Waits for a permit for a limited time.
    /// - Parameters:
    ///   - limit: how long to wait; zero tries once and takes no ticket.
    ///   - options: how to stand in the queue.
    ///   - body: as for ``withPermit(_:_:)``.
    /// - Returns: what the body returns, or nil if the permit was not granted in time.
    /// - Throws: as ``withPermit(_:_:)``.
    public func withPermit<Result: Sendable>(
        within limit: Duration, _ options: Options = Options(),
        _ body: @escaping @Sendable (Permit) async throws -> Result
    ) async throws -> Result? {
        try await run(options, limit: max(.zero, limit), body)
    }

    // MARK: the queue as a whole

    /// Who holds and who waits, at one moment. Takes no lock.
    /// - Throws: ``SemaphoreError`` when there is no such queue, or it can't be read or reached.
    public func status() async throws -> QueueStatus { try await ask { try $0.status() } }

    /// Sets how many may hold at a time, for all, from now on. Makes the queue if it is missing. A higher
    /// number lets waiters in at once; with a lower one nobody is granted until enough have ended.
    /// - Throws: ``SemaphoreError``.
    public func setConcurrency(_ concurrency: Int) async throws {
        guard Request.concurrencies.contains(concurrency) else {
            throw SemaphoreError(.usage, "\(path): a concurrency of \(concurrency): wants \(Request.concurrencyWanted)")
        }
        _ = try await ask {
            try $0.administration(create: true, anyFilesystem: false).setConcurrency(concurrency)
        }
    }

    /// Grants nobody until ``resume()``; those who hold go on.
    /// - Parameter reason: told to those who wait.
    /// - Throws: ``SemaphoreError``.
    public func pause(reason: String) async throws {
        _ = try await ask { try $0.administration(create: false, anyFilesystem: false).pause(reason: reason) }
    }

    /// Grants again.
    /// - Throws: ``SemaphoreError``.
    public func resume() async throws {
        _ = try await ask { try $0.administration(create: false, anyFilesystem: false).resume() }
    }
}

// MARK: -

extension SemaphoreQueue {
    private func run<Result: Sendable>(
        _ options: Options, limit: Duration?, isolation: isolated (any Actor)? = #isolation,
        _ body: @escaping @Sendable (Permit) async throws -> Result
    ) async throws -> Result? {
        try Task.checkCancellation()
        var wanted = Nesting.Wanted()
        wanted.concurrency = options.concurrency
        if case .here = place, let found = try Permit.enclosing.permit(on: path, wanted) {
            defer { found.nested.release() }
            return try await body(Permit(path, found.held, slot: found.slot, among: Permit.enclosing))
        }
        guard let grant = try await acquire(try request(options, limit), lease: options.lease) else { return nil }
        var enclosing = Permit.enclosing
        let held = enclosing.add(own: grant)
        let permit = Permit(path, held, slot: grant.slot, among: enclosing)
        do {
            let result = try await Permit.$enclosing.withValue(enclosing) {
                _ = isolation  // stays on the caller's actor
                return try await PermitWatch.run(grant) { try await body(permit) }
            }
            await giveBack(grant)
            return result
        } catch {
            await giveBack(grant)
            throw error
        }
    }

    private func request(_ options: Options, _ limit: Duration?) throws -> Request {
        guard Ticket.priorities.contains(options.priority) else {
            throw SemaphoreError(
                .usage, "\(path): a priority of \(options.priority): wants a number from -1000 to 1000")
        }
        guard RemoteSemaphore.Options.leases.contains(options.lease) else {
            throw SemaphoreError(.usage, "\(path): a lease of \(options.lease): wants 5 to 60 seconds")
        }
        if let concurrency = options.concurrency, !Request.concurrencies.contains(concurrency) {
            throw SemaphoreError(.usage, "\(path): a concurrency of \(concurrency): wants \(Request.concurrencyWanted)")
        }
        var request = Request()
        request.priority = options.priority
        request.description = options.description
        request.concurrency = options.concurrency
        request.limit = limit
        return request
    }

    private func semaphore(_ options: RemoteSemaphore.Options) -> any NamedSemaphore {
        switch place {
        case .here: LocalSemaphore(path)
        case .there(let host, let remotePath):
            RemoteSemaphore(name: path, path: remotePath, host: host, options: options)
        }
    }

    /// What is done at once on this host, and takes an answer on another.
    private func ask<Answer: Sendable>(
        _ body: @escaping @Sendable (any NamedSemaphore) throws -> Answer
    ) async throws -> Answer {
        let semaphore = semaphore(RemoteSemaphore.Options())
        guard case .there = place else { return try body(semaphore) }
        return try await Self.onThread { try body(semaphore) }
    }

    /// - Returns: nil if not granted within the request's limit.
    private func acquire(_ request: Request, lease: Duration) async throws -> (any Grant)? {
        if case .here(let kept) = place {
            // Straight through on this thread, if nobody stands in the way: a few calls that don't block.
            var first = request
            (first.limit, first.mutexLimit) = (.zero, .zero)
            let outcome = try Member.acquire(path, first, alarm: Alarm(), observer: Unobserved(), keeping: kept)
            if case .granted(let grant) = outcome { return grant }
            if case .busy = outcome, request.limit == .zero { return nil }
        }
        var options = RemoteSemaphore.Options()
        options.lease = lease
        options.held = Permit.enclosing
        let semaphore = semaphore(options)
        let alarm = Alarm()
        let outcome = try await withTaskCancellationHandler {
            try await Self.onThread {
                try semaphore.acquire(request, alarm: alarm, observer: Unobserved())
            }
        } onCancel: {
            alarm.ring()
        }
        switch outcome {
        case .granted(let grant):
            // Cancelled at the instant of the grant: the slot is not lost.
            guard Task.isCancelled else { return grant }
            await giveBack(grant)
            throw CancellationError()
        case .cancelled: throw CancellationError()
        case .timedOut, .busy(.held), .busy(.paused): return nil
        case .busy(.full):
            throw SemaphoreError(
                .full, "\(path): as many wait as a queue has room for (\(QueueFile.maximumWaiting)); try again later")
        case .removed(let by, let reason):
            throw SemaphoreError(.removed, "\(path): \(by) took this turn out of the queue: \(reason)")
        }
    }

    private func giveBack(_ grant: any Grant) async {
        if case .here(let kept) = place, let grant = grant as? LocalGrant, grant.tryRelease() {
            return kept.keepOwn(of: grant)
        }
        // Another host's answer, or whoever runs nested under the permit: waiting must not hold up a pool's thread.
        if (try? await Self.onThread({ grant.release() })) == nil { grant.release() }
    }

    private static func onThread<Result: Sendable>(
        _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            do {
                try BlockingThread.start { continuation.resume(with: Swift.Result { try body() }) }.detach()
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }
}
