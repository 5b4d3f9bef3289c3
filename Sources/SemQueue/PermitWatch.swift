/// Runs a body beside a watch over its permit.
enum PermitWatch {
    private static let interval = Duration.seconds(1)

    /// - Returns: what the body returns.
    /// - Throws: what the body throws, or ``SemaphoreError`` when the permit was lost; the body has been
    ///   cancelled and has ended then.
    static func run<Result: Sendable>(
        _ grant: Grant, _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                while true {
                    do { try await Task.sleep(for: interval) } catch { return nil }
                    if let loss = grant.loss() { throw loss.error(at: grant.path) }
                }
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }
}

extension Grant.Loss {
    func error(at path: String) -> SemaphoreError {
        switch self {
        case .fileReplaced:
            SemaphoreError(.lost, "\(path): the permit is lost, because the queue file was deleted or replaced while it was held")
        case .released(let by, let reason, _):
            SemaphoreError(.removed, "\(path): \(by) has ended this turn: \(reason)")
        }
    }
}
