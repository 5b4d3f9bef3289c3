/// Why a queue can't be used. An outcome that is to be expected (busy, not in time) is no error.
public struct SemaphoreError: Error, Hashable, Sendable {
    public enum Code: Hashable, Sendable {
        /// What was asked for makes no sense.
        case usage
        /// The file is no queue, or can't serve as one.
        case unusable
        /// The queue file does not exist and can't be made.
        case cannotCreate
        /// A system call failed.
        case io
        /// The system forbids it.
        case permission
        /// Another host can't be reached.
        case unreachable
        /// The permit was gone while its holder still worked.
        case lost
        /// Somebody ended this turn, waiting or holding.
        case removed
        /// As many wait as a queue has room for.
        case full
    }

    public var code: Code
    /// One sentence that names the thing, and the way out where there is one.
    public var message: String
    /// The system's error number behind it, or 0.
    public var systemError: Int32

    package init(_ code: Code, _ message: String, systemError: Int32 = 0) {
        self.code = code
        self.message = message
        self.systemError = systemError
    }
}

extension SemaphoreError: CustomStringConvertible {
    public var description: String { message }
}
