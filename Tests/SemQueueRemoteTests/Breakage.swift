import SemQueueTestSupport
import Testing

/// How a connection breaks on a proxy.
enum Breakage: String, CaseIterable, CustomTestStringConvertible {
    case reset, close, drop, silence
    /// The client hears the end, and is heard on.
    case half
    /// The host hears the end, and is heard on.
    case halfUp

    var action: TestProxy.Action {
        switch self {
        case .reset: .reset
        case .close: .close
        case .drop: .drop
        case .silence: .silence
        case .half, .halfUp: .half
        }
    }

    var direction: TestProxy.Direction { self == .halfUp ? .up : .down }
    /// Nobody is told.
    var isSilent: Bool { self == .drop || self == .silence }
    var testDescription: String { rawValue }
}

extension TestProxy {
    /// Breaks all connections.
    func act(_ breakage: Breakage) throws { try act(breakage.action, breakage.direction) }
}
