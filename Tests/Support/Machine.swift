import Foundation
package import Glibc
import Testing

/// What a test needs of the machine it runs on.
package enum Machine {
    package enum Need {
        /// To mount, to change to another user, to make namespaces.
        case root
        /// A program in PATH, and the Debian package that has it.
        case program(String, package: String)
        /// To make test hosts, `TestLab`.
        case hosts
        /// To give them a newer OpenSSH.
        case openSSH10
    }

    /// Whether all is there. What is missing is printed, and in CI (`CI=true`) it is a failure: no test
    /// is skipped unseen. (A newer OpenSSH need not be had from each mirror.)
    package static func has(_ needs: Need...) -> Bool {
        guard let (need, first) = needs.lazy.compactMap({ need in lack(need).map { (need, $0) } }).first else {
            return true
        }
        let test = Test.current.map { "\($0.name): " } ?? ""
        var isOptional = false
        if case .openSSH10 = need { isOptional = true }
        if !isOptional, ProcessInfo.processInfo.environment["CI"] == "true" {
            Issue.record("\(test)not tested, because \(first)")
        } else {
            print("\(test)not tested, because \(first)")
        }
        return false
    }

    private static func lack(_ need: Need) -> String? {
        switch need {
        case .root: return geteuid() == 0 ? nil : "this is not root"
        case .program(let name, let package):
            let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
            let found = (path + ":/usr/sbin:/sbin").split(separator: ":").contains {
                access("\($0)/\(name)", X_OK) == 0
            }
            return found ? nil : "there is no \(name) (Debian package \(package))"
        case .hosts: return TestLab.obstacle
        case .openSSH10:
            guard case .failure(let refusal) = TestLab.openSSH10 else { return nil }
            return "there are no packages of OpenSSH 10: \(refusal)"
        }
    }

    /// What /proc says a process is doing: "R", "S", "T" …; nil if it is gone.
    package static func state(of pid: pid_t) -> Character? {
        guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let name = stat.lastIndex(of: ")")
        else { return nil }
        return stat[name...].dropFirst(2).first
    }

    package static func isTraced(_ pid: pid_t) -> Bool {
        guard let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8) else { return false }
        return status.contains("TracerPid:") && !status.contains("TracerPid:\t0\n")
    }

    /// A program that was built beside the tests.
    package static func built(_ name: String) throws -> String {
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        for folder in [own, CommandLine.arguments[0]] + CommandLine.arguments.filter({ $0.hasSuffix(".xctest") }) {
            let path = URL(fileURLWithPath: folder).deletingLastPathComponent().appendingPathComponent(name).path
            if access(path, X_OK) == 0 { return path }
        }
        throw POSIXError(.ENOENT)
    }
}
