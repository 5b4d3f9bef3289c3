internal import SemQueue

/// What `semq` itself exits with, after sysexits.h where that has a name for it.
struct ExitCode: Equatable {
    var rawValue: Int32

    init(rawValue: Int32) { self.rawValue = rawValue }

    static let success = ExitCode(rawValue: 0)
    /// The ticket to release neither waits nor holds any more, as pkill(1) has it.
    static let gone = ExitCode(rawValue: 1)
    /// What was typed makes no sense.
    static let usage = ExitCode(rawValue: 64)
    /// The queue file can't be used.
    static let unusable = ExitCode(rawValue: 65)
    /// Host unreachable, or no agent there.
    static let unreachable = ExitCode(rawValue: 69)
    static let cannotCreate = ExitCode(rawValue: 73)
    static let io = ExitCode(rawValue: 74)
    /// Busy, not granted in time, or paused.
    static let notGranted = ExitCode(rawValue: 75)
    /// The lock was lost, or its turn was ended by somebody.
    static let lost = ExitCode(rawValue: 76)
    static let permission = ExitCode(rawValue: 77)
    static let cannotExecute = ExitCode(rawValue: 126)
    static let notFound = ExitCode(rawValue: 127)

    init(_ code: SemaphoreError.Code) {
        self =
            switch code {
            case .usage: .usage
            case .unusable: .unusable
            case .cannotCreate: .cannotCreate
            case .io: .io
            case .permission: .permission
            case .unreachable: .unreachable
            case .lost, .removed: .lost
            case .full: .notGranted
            }
    }
}
