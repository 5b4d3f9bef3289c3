/// Runs `body` with a session, which is closed when it returns or throws. Where the task is cancelled, the connect is
/// given up, or the session is cut at once: its channels end as `unknown`, and `body` goes on from there.
public func withSession<Result>(
    to destination: SSHDestination, options: SSHOptions = SSHOptions(),
    _ body: (SSHSession) async throws -> Result
) async throws -> Result {
    let session = try await SSHSession.connected(to: destination, options: options)
    do {
        let result = try await withTaskCancellationHandler {
            try await body(session)
        } onCancel: {
            session.abort()
        }
        await session.closed()
        return result
    } catch {
        await session.closed()
        throw error
    }
}

extension SSHSession {
    /// As ``connect(to:options:)``, which blocks a thread of its own meanwhile. Cancelling the task gives it up.
    public static func connected(
        to destination: SSHDestination, options: SSHOptions = SSHOptions()
    ) async throws(SSHError) -> SSHSession {
        let cancellation = options.cancellation ?? SSHCancellation()
        let options = {
            var options = options
            options.cancellation = cancellation
            return options
        }()
        let outcome = Promise<Result<SSHSession, SSHError>>()
        let thread = SessionThread.start {
            do throws(SSHError) {
                outcome.fulfill(.success(try connect(to: destination, options: options)))
            } catch {
                outcome.fulfill(.failure(error))
            }
        }
        guard let thread else {
            throw SSHError(
                .system, .connect, host: destination.host, port: destination.port ?? 22,
                "no thread is left to connect to \(destination.host) with")
        }
        let result = await withTaskCancellationHandler {
            await outcome.get()
        } onCancel: {
            cancellation.cancel()
        }
        // It is on its last few instructions.
        thread.join()
        return try result.get()
    }

    /// Runs a command, as ``exec(_:input:output:error:window:)`` does, and `body` with its channel, which is closed
    /// when that returns or throws. Cancelling the task closes it, too.
    public func withChannel<Result>(
        _ command: String, input: Int32, output: Int32, error: Int32, window: Int = 1 << 20,
        _ body: (SSHChannel) async throws -> Result
    ) async throws -> Result {
        let opening = try ask(for: .exec(command), .init(input: input, output: output, error: error), window)
        // An answer comes within SSHLimits.open.
        if let error = await opening.answer.get() { throw error }
        let channel = opening.channel
        defer { channel.close() }
        return try await withTaskCancellationHandler {
            try await body(channel)
        } onCancel: {
            channel.close()
        }
    }
}
