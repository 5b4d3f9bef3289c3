/// What a ``SemaphoreQueue`` keeps open from one use to the next: opening a file costs as much as the
/// locks themselves.
final class KeptOpen: Sendable {
    private struct Kept {
        var own: (file: QueueFile, description: Description)?
        var gate: (description: Description, identity: QueueFile.Identity)?
    }

    let history: History
    private let kept = Guarded(Kept())

    init(_ path: String) { history = History(of: path) }

    /// A description without locks that nobody else uses meanwhile. That the path still names its file is
    /// seen under the mutex.
    func takeOwn() -> (QueueFile, Description)? {
        kept.withLock { kept in
            defer { kept.own = nil }
            return kept.own
        }
    }

    /// Keeps the description of a grant that was given back.
    func keepOwn(of grant: LocalGrant) {
        kept.withLock { $0.own = (grant.file, grant.description) }
    }

    /// A gate that nobody else uses meanwhile, if one for this very file is kept.
    func takeGate(of file: QueueFile) -> Gate? {
        kept.withLock { kept in
            guard let (description, identity) = kept.gate, identity == file.identity else { return nil }
            kept.gate = nil
            return Gate(description: description)
        }
    }

    /// Keeps a gate on which no lock is left.
    func keep(_ gate: Gate, of file: QueueFile) {
        kept.withLock { $0.gate = (gate.description, file.identity) }
    }
}
