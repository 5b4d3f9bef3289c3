/// Answers to requests that are done at once.
enum AgentAnswers {
    static func to(_ request: Message) throws -> [Message] {
        guard let path = request["path"] else {
            throw SemaphoreError(.usage, "the host's semq doesn't know the request ‘\(request.verb)’; update it")
        }
        switch request.verb {
        case "status": return try QueueStatus(path: path).messages
        case "identify":
            let queue = try Member.identify(path, Request(request), alarm: Alarm(), observer: Unobserved())
            return [Message("queue-id", [("queue", String(queue, radix: 16))])]
        default:
            throw SemaphoreError(.usage, "the host's semq doesn't know the request ‘\(request.verb)’; update it")
        }
    }
}
