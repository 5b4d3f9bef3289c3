/// What a ``SemaphoreQueue`` keeps open from one use to the next: opening a file costs as much as the
/// locks themselves.
final class KeptOpen: Sendable {
    let history: History
    private let gate = Guarded<(description: Description, identity: QueueFile.Identity)?>(nil)

    init(_ path: String) { history = History(of: path) }

    /// A gate that nobody else uses meanwhile, if one for this very file is kept.
    func takeGate(of file: QueueFile) -> Gate? {
        gate.withLock { kept in
            guard let (description, identity) = kept, identity == file.identity else { return nil }
            kept = nil
            return Gate(description: description)
        }
    }

    /// Keeps a gate on which no lock is left.
    func keep(_ gate: Gate, of file: QueueFile) {
        self.gate.withLock { $0 = (gate.description, file.identity) }
    }
}
