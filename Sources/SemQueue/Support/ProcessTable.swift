/// The processes of a machine as /proc shows them at one moment. No I/O.
package struct ProcessTable {
    package struct Process: Hashable, Sendable {
        package var pid: Int32
        package var parent: Int32
        /// The session that it is in, named by the process that has made it (setsid(2)).
        package var session: Int32
        /// `R`, `S`, `D`, `T`, `Z` … as in proc(5).
        package var state: Character
        /// What it was started as: 15 bytes of it.
        package var name: String
        /// When it was started, in clock ticks since boot: with the number it names one process for good.
        package var start: UInt64
        package var threads: Int

        package init(
            pid: Int32, parent: Int32, session: Int32, state: Character = "S", name: String = "", start: UInt64 = 0,
            threads: Int = 1
        ) {
            (self.pid, self.parent, self.session, self.state) = (pid, parent, session, state)
            (self.name, self.start, self.threads) = (name, start, threads)
        }

        /// A process whose first thread has ended shows as a zombie while the others go on.
        package var isAlive: Bool { state != "X" && (state != "Z" || threads > 1) }

        package var isStopped: Bool { state == "T" }
    }

    package var processes: [Process]

    package init(_ processes: [Process]) { self.processes = processes }

    /// All living descendants of `root`, parents before children.
    /// - Parameters:
    ///   - left: processes that are left out, with all below them.
    ///   - isLeft: whether another is, with all below it.
    package func descendants(
        of root: Int32, except left: [Int32] = [], _ isLeft: (Int32) -> Bool = { _ in false }
    ) -> [Process] {
        let children = Dictionary(grouping: processes, by: \.parent)
        var found: [Process] = []
        var open = children[root] ?? []
        while let process = open.popLast() {
            if left.contains(process.pid) || isLeft(process.pid) { continue }
            if process.isAlive { found.append(process) }
            open += children[process.pid] ?? []
        }
        return found
    }

    /// The table with children of `root` that it lacks.
    /// - Parameter session: of each.
    func adding(_ children: [Int32], of root: Int32, session: (Int32) -> Int32) -> ProcessTable {
        let known = Set(processes.map(\.pid))
        let missing = children.filter { !known.contains($0) }
        return ProcessTable(
            processes + missing.map { Process(pid: $0, parent: root, session: session($0), name: "a process") })
    }

    /// Whether a child of `root` has died and wasn't reaped: what it had started since may have come too late to be
    /// read.
    /// - Parameter left: children that are left out.
    func hasDead(below root: Int32, except left: [Int32]) -> Bool {
        processes.contains { $0.parent == root && !$0.isAlive && !left.contains($0.pid) }
    }

    /// Whether it was read while somebody died: a process of one of the sessions has a parent that isn't there (any
    /// more), so whose descendant it is can't be told.
    package func isTorn(in sessions: Set<Int32>) -> Bool {
        let known = Set(processes.map(\.pid))
        return processes.contains {
            $0.isAlive && sessions.contains($0.session) && $0.parent > 1 && !known.contains($0.parent)
        }
    }
}

extension ProcessTable.Process {
    /// - Parameters:
    ///   - pid: its number.
    ///   - stat: what stands in /proc/PID/stat.
    package init?(_ pid: Int32, stat: ArraySlice<UInt8>) {
        // The name, in parentheses, may hold anything: the fields start behind the last parenthesis.
        guard let begin = stat.firstIndex(of: UInt8(ascii: "(")), let end = stat.lastIndex(of: UInt8(ascii: ")")),
            begin < end
        else { return nil }
        let fields = stat[(end + 1)...].split(separator: UInt8(ascii: " "), maxSplits: 20)
        guard fields.count > 19, let state = fields[0].first else { return nil }
        func number<Number: FixedWidthInteger>(_ field: Int) -> Number? {
            Number(String(decoding: fields[field - 3], as: UTF8.self))
        }
        guard let parent: Int32 = number(4), let session: Int32 = number(6), let threads: Int = number(20),
            let start: UInt64 = number(22)
        else { return nil }
        self.init(
            pid: pid, parent: parent, session: session, state: Character(Unicode.Scalar(state)),
            name: String(decoding: stat[(begin + 1)..<end], as: UTF8.self), start: start, threads: threads)
    }
}
