import Testing

/// The ways to a host; what holds for one has to hold for the other.
enum Transport: String, CaseIterable, CustomTestStringConvertible {
    /// libssh2.
    case own
    /// A subprocess of OpenSSH's.
    case ssh

    var options: [String] { self == .ssh ? ["--rsh", "ssh"] : [] }
    var testDescription: String { rawValue }
}
