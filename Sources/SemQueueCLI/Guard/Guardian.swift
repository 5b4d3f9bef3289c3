internal import CSemQueue
internal import Glibc
internal import SemQueue

/// The process between `semq` and the command: parent of the command, owner of the permits' end.
struct Guardian {
    let page: SharedPage
    let go: Int32
    /// The process that the shell sees.
    let front: Int32
    let command: GuardedCommand
    /// Where the grant came before the fork.
    let granted: GuardedCommand.Granted?
    let end: TurnEnd

    /// The rest of the forked process's life.
    func run() -> Never {
        // First, or what the command forks off at once would become `semq`'s child, and be missed when its tree is ended.
        _ = semq_become_subreaper()
        // Forked before we leave the group: the command stays in the one that `semq` was given.
        let child = semq_fork()
        if child == 0 { command.become(page, go: go, known: granted) }
        guard child > 0 else {
            page.outcome = .notExecuted(errno)
            _exit(1)
        }
        page.commandPid = child  // it may have been killed before it could say so
        close(go)
        setpgid(0, 0)
        semq_set_process_name("semq-guardian")
        StandardDescriptors.release([0, 1, 2])
        if granted == nil { waitForStart(child) }
        var supervisor = Supervisor(
            page: page, permits: granted?.permits ?? Permits(handover: page.start?.permits ?? []), end: end,
            stateChanged: { stop in
                page.commandStop = stop ?? 0
                tellFront(stop == nil ? SIGCONT : Signals.alarm)
            }, hasNews: { tellFront(Signals.alarm) })
        supervisor.front = front
        for grant in supervisor.permits.grants { grant.rehearseRelease() }
        supervisor.run()
        // Nobody else would let it go on.
        for _ in 0..<100 where page.frontStops && getppid() == front {
            tellFront(SIGCONT)
            usleep(10_000)
        }
        _exit(0)
    }

    /// Until the command is started; ends with the command-to-be if it is not.
    private func waitForStart(_ child: Int32) {
        while !page.isRunning {
            _ = Signals.next([SIGCHLD, Signals.alarm], within: .seconds(1))
            // It sees the end of `semq` itself, but where it is stopped: then it would keep a place that nobody takes.
            if getppid() != front, !page.isRunning { kill(child, SIGKILL) }
            var pid: Int32 = 0
            var kind: Int32 = 0
            var number: Int32 = 0
            var childless = false
            guard semq_peek_child(&pid, &kind, &number, &childless) else { continue }
            guard kind == SEMQ_EXITED || kind == SEMQ_SIGNALED else {
                // A stop is left to the supervisor, which tells `semq`: it can be that of a command which stops at the first
                // instant at which it may, before its exec. Whatever comes next takes its place in waitid(2), an end too.
                if kind == SEMQ_CONTINUED { semq_reap_child(pid, kind) }
                continue
            }
            // Seen before it is reaped: one that was started since, and is over already, has an end to be told.
            guard !page.isRunning else { return }
            // Killed before it went: `semq` starts another, or tells of this end.
            if kind == SEMQ_SIGNALED { page.outcome = .signaled(number) }
            _exit(0)
        }
    }

    private func tellFront(_ signal: Int32) {
        if getppid() == front { kill(front, signal) }
    }
}
