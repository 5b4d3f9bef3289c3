internal import CSemQueue
internal import Glibc

/// The processes that descend from this one, as /proc tells.
package enum ProcessTree {
    package typealias Process = ProcessTable.Process

    // MARK: looking

    /// All living descendants of this process, parents before children, without those that carry our links to other
    /// hosts, all below them and all that these have left.
    ///
    /// A process that is handed to another parent while /proc is read may be missing: what rests on nobody's being
    /// there takes ``left(in:everySession:)``.
    /// - Returns: nil where /proc is not mounted, or is that of another pid namespace.
    package static func descendants() -> [Process]? {
        ownTable(children())?.descendants(of: getpid(), except: Carriers.all, Carriers.areBehind)
    }

    /// What is left of a command: its living descendants, which are ours since its end, in one of its sessions.
    /// - Parameters:
    ///   - sessions: those that the command was in.
    ///   - everySession: daemons, which have left them, count too.
    /// - Returns: nil where that can't be told: /proc is not mounted, or they come and go faster than it can be read.
    package static func left(in sessions: Set<Int32>, everySession: Bool) -> [Process]? {
        var isSettled = false
        for look in 0..<looks {
            let carriers = Carriers.all
            let before = children()
            guard let table = table() else { return nil }
            // Twice, for a list that changes while it is read may lack somebody.
            let (after, again) = (children(), children())
            let found = table.adding(again ?? [], of: getpid(), session: getsid)
                .descendants(of: getpid(), except: carriers, Carriers.areBehind)
                .filter { everySession || sessions.contains($0.session) }
            if !found.isEmpty { return found }
            // Nobody is only believed where nobody came or went meanwhile.
            isSettled = before == after && after == again && !table.hasDead(below: getpid(), except: carriers)
            // Where our children aren't told, a second look has to do.
            if isSettled, before != nil || look > 0, !table.isTorn(in: sessions) { return [] }
        }
        // One that stays torn has parents that /proc hides, such as the session's own.
        return isSettled ? [] : nil
    }

    private static let looks = 4

    /// Whether this process has no child but those that carry our links. Costs one read.
    /// - Returns: false too where that can't be told so cheaply.
    package static var isChildless: Bool {
        let carriers = Carriers.all
        // Twice, for a list that changes while it is read may lack somebody.
        return (0..<2).allSatisfy { _ in children()?.allSatisfy(carriers.contains) ?? false }
    }

    /// Our children, those that weren't reaped yet too; nil where /proc doesn't tell.
    private static func children() -> [Int32]? {
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: mostChildren) { pids in
            let count = semq_children(getpid(), pids.baseAddress, Int32(pids.count))
            return count < 0 ? nil : Array(pids[..<Int(count)])
        }
    }

    private static let mostChildren = 2048

    /// Ends what somebody has started that is to end, in our session. A daemon has one of its own.
    static func killBelow(_ pid: Int32) {
        guard isOurs else { return }
        kill(pid, SIGSTOP)
        semq_kill_below(pid, getsid(0))
    }

    /// Ends what carriers in our session have left to us when they ended.
    static func killOrphansOfCarriers() {
        let carriers = Carriers.all
        for pid in children() ?? [] where !carriers.contains(pid) && getsid(pid) == getsid(0) && Carriers.areBehind(pid)
        {
            kill(pid, SIGKILL)
        }
    }

    /// The table with those of our children that don't show in it: /proc may hide them (`hidepid`), or have had no file
    /// to spare for them.
    private static func ownTable(_ children: [Int32]?) -> ProcessTable? {
        table()?.adding(children ?? [], of: getpid(), session: getsid)
    }

    /// Whether we hear of its end.
    package static func isChild(_ process: Process) -> Bool { process.parent == getpid() }

    /// Whether /proc is mounted, and that of our pid namespace: elsewhere our number is another's, or nobody's.
    private static let isOurs: Bool = {
        var text = [UInt8](repeating: 0, count: 16)
        let count = readlink("/proc/self", &text, text.count)
        return count > 0 && Int32(String(decoding: text.prefix(count), as: UTF8.self)) == getpid()
    }()

    private static func table() -> ProcessTable? {
        guard isOurs, let folder = opendir("/proc") else { return nil }
        defer { closedir(folder) }
        var processes: [Process] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let pid = Int32(name), let process = process(pid) { processes.append(process) }
        }
        return processes.isEmpty ? nil : ProcessTable(processes)
    }

    private static func process(_ pid: Int32) -> Process? {
        let descriptor = open("/proc/\(pid)/stat", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1024) { buffer in
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            return count > 0 ? Process(pid, stat: Array(buffer[..<count])[...]) : nil
        }
    }

    /// Whether a shell is there that could continue a process group when it is stopped; otherwise the group is
    /// orphaned, as POSIX calls it. This process doesn't count. Nil where /proc doesn't tell.
    package static func isContinuable(_ group: Int32) -> Bool? {
        table()?.processes.contains { process in
            process.isAlive && getpgid(process.pid) == group && process.parent != getpid()
                && getpgid(process.parent) != group && getsid(process.parent) == process.session
        }
    }

    /// Nil where /proc doesn't tell.
    package static func isStopped(_ pid: Int32) -> Bool? { isOurs ? process(pid).map(\.isStopped) : nil }

    /// A zombie isn't.
    package static func isAlive(_ pid: Int32) -> Bool { process(pid)?.isAlive ?? false }

    /// Nil for a zombie or one that is gone.
    static func parent(of pid: Int32) -> Int32? {
        guard let process = process(pid), process.isAlive else { return nil }
        return process.parent
    }

    // MARK: signals

    /// Sends a signal to every descendant of this process.
    /// - Parameter child: the one that is known without /proc.
    /// - Returns: those that may not be signalled by us, such as another user's behind `sudo`.
    @discardableResult
    package static func signal(_ signal: Int32, knowing child: Int32?) -> [Process] {
        self.signal(signal, own(knowing: child))
    }

    /// Sends a signal to these processes, and to nobody else who may have got their numbers since.
    /// - Returns: those that may not be signalled by us.
    @discardableResult
    package static func signal(_ signal: Int32, _ processes: [Process]) -> [Process] {
        processes.filter { semq_signal_process($0.pid, $0.start, signal) == EPERM }
    }

    /// The descendants of this process; where /proc is not mounted, the one that is known without it.
    private static func own(knowing child: Int32?) -> [Process] {
        descendants() ?? [child].compactMap { $0.map { Process(pid: $0, parent: getpid(), session: 0) } }
    }

    /// Kills every descendant of this process. Children are reaped, but for `child`.
    ///
    /// First all are stopped until there is no new one, so that none can fork away. Those who fork, leave and exit
    /// without a pause are faster than a walk through /proc: each of their orphans is handed to us, a subreaper, and is
    /// our child for as long as it lives. So our children are killed in a loop that is faster than they are, which then
    /// begins anew with the walk.
    /// - Returns: those that may not be signalled by us.
    @discardableResult
    package static func killAll(knowing child: Int32?) -> [Process] {
        let spared = Carriers.all + (children() ?? []).filter(Carriers.areBehind)
        var stopped: Set<Process.ID> = []
        var refused: [Process] = []
        for _ in 0..<sweeps {
            let found = own(knowing: child)
            let new = found.filter { stopped.insert($0.id).inserted }
            if new.isEmpty {
                refused = signal(SIGKILL, found)
                break
            }
            signal(SIGSTOP, new)
            // Each is one more to walk past, while others come: a walk that takes longer finds ever more of them.
            while semq_reap_children(spared, Int32(spared.count), child ?? 0) > mostChildren / 2 {}
        }
        for _ in 0..<rounds where semq_kill_children(spared, Int32(spared.count), child ?? 0) > 0 {}
        return refused
    }

    /// Those that fork faster than they can be stopped are not to be met in this way.
    private static let sweeps = 20
    private static let rounds = 2000
}

extension ProcessTable.Process {
    fileprivate struct ID: Hashable {
        var pid: Int32
        var start: UInt64
    }

    fileprivate var id: ID { ID(pid: pid, start: start) }
}
