/// What is known where the `semq acquire` that an agent has started was killed itself, and not its command.
enum KilledThere: String {
    /// The command goes on, and its turn stands.
    case holds
    /// It had no turn yet.
    case waited
    case unknown

    /// - Parameter signal: that killed it.
    func sentence(_ signal: Int32) -> String {
        let killed = "the semq there was killed (signal \(signal))"
        return switch self {
        case .holds: "\(killed); the command there may go on, and keeps its turn as long as it runs"
        case .waited: "\(killed) while it waited; the command was not started"
        case .unknown: "\(killed); what has become of the command there is not known"
        }
    }
}
