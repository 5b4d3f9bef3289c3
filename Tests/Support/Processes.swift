import Foundation
package import Glibc

/// What /proc says about processes.
package enum Processes {
    private struct Stat {
        var state: Character
        var parent: pid_t
        var group: pid_t
        var session: pid_t
        /// The foreground group of its terminal.
        var foreground: pid_t
    }

    private static func stat(_ pid: pid_t) -> Stat? {
        // The name, in parentheses, may hold anything: the fields start behind the last parenthesis.
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .isoLatin1),
            let end = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[end...].dropFirst(2).split(separator: " ")
        guard fields.count > 5, let state = fields[0].first, let parent = pid_t(fields[1]),
            let group = pid_t(fields[2]),
            let session = pid_t(fields[3]), let foreground = pid_t(fields[5])
        else { return nil }
        return Stat(state: state, parent: parent, group: group, session: session, foreground: foreground)
    }

    private static func all() -> [(pid: pid_t, stat: Stat)] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [])
            .compactMap { pid_t($0) }.compactMap { pid in stat(pid).map { (pid, $0) } }
    }

    /// Alive, and no zombie.
    package static func isAlive(_ pid: pid_t) -> Bool { stat(pid).map { $0.state != "Z" && $0.state != "X" } ?? false }

    package static func isStopped(_ pid: pid_t) -> Bool { stat(pid)?.state == "T" }

    /// Runs, and the terminal's keys mean it. A shell says `fg` before that is so.
    package static func isInForeground(_ pid: pid_t) -> Bool {
        stat(pid).map { $0.group == $0.foreground && $0.state != "T" } ?? false
    }

    /// Whether a signal waits until the process takes it or unblocks it.
    package static func isPending(_ signal: Int32, for pid: pid_t) -> Bool {
        let lines = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .isoLatin1).split(separator: "\n")
        guard let mask = lines?.first(where: { $0.hasPrefix("ShdPnd:") })?.split(separator: "\t").last else {
            return false
        }
        return (UInt64(mask, radix: 16) ?? 0) >> UInt64(signal - 1) & 1 == 1
    }

    package static func session(_ id: pid_t) -> [pid_t] { all().filter { $0.stat.session == id }.map(\.pid) }

    package static func children(of parent: pid_t) -> [pid_t] { all().filter { $0.stat.parent == parent }.map(\.pid) }

    /// The name that ps shows.
    package static func name(_ pid: pid_t) -> String {
        ((try? String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8)) ?? "")
            .trimmingCharacters(in: .newlines)
    }

    /// The guardian between a `semq` and its command.
    package static func guardian(of semq: pid_t) -> pid_t? { children(of: semq).first { name($0) == "semq-guardian" } }

    package static func threads(of pid: pid_t) -> Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task"))?.count ?? 0
    }

    /// What a process has had of the processors so far, with all its threads, in seconds.
    package static func processorTime(of pid: pid_t) -> Double {
        guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .isoLatin1),
            let end = stat.lastIndex(of: ")")
        else { return 0 }
        let fields = stat[end...].dropFirst(2).split(separator: " ").compactMap { Double($0) }
        // utime and stime; the state, which is no number, is left out.
        return fields.count > 11 ? (fields[10] + fields[11]) / Double(sysconf(Int32(_SC_CLK_TCK))) : 0
    }
}
