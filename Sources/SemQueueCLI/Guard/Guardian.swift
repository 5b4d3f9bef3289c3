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
        supervisor.askFront = { tellFront(Signals.alarm) }
        for grant in supervisor.permits.grants { grant.rehearseRelease() }
        supervisor.run()
        // Nobody else would let it go on.
        for _ in 0..<100 where page.frontStops {
            tellFront(SIGCONT)
            usleep(10_000)
        }
        _exit(0)
    }

    /// Until the command is started; ends with the command-to-be if it is not.
    private func waitForStart(_ child: Int32) {
        while !page.isRunning {
            _ = Signals.next([SIGCHLD, Signals.alarm], within: .seconds(1))
            var status: Int32 = 0
            guard !page.isRunning, waitpid(child, &status, WNOHANG) != 0 else { continue }
            // Killed before it went, or just after: `semq` starts another, or tells of this end.
            if status & 0x7f != 0 { page.outcome = .signaled(status & 0x7f) }
            _exit(0)
        }
    }

    private func tellFront(_ signal: Int32) {
        if getppid() == front { kill(front, signal) }
    }
}
