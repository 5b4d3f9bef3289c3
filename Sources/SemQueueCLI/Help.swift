internal import SemQueue

/// What `--help` prints. The man page says more.
enum Help {
    static func text(for command: String?) throws -> String {
        switch command {
        case nil: overview
        case "acquire": acquire
        case "status": status
        case "set": set
        case "release": release
        case "history": history
        case "doctor": doctor
        case "agent": agent
        case "link": link
        case .some(let word): throw SemaphoreError(.usage, "there is no command ‘\(word.printable)’; see: semq --help")
        }
    }

    static let overview = """
        semq: take turns at things that only one can use at a time

          semq acquire board.queue -- ./flash.sh    wait for your turn, run, give it back
          semq status board.queue                   who holds, who waits, and why

        Commands:
          acquire    take one or several semaphores and run a command
          status     show holders and waiters
          set        change the concurrency, pause, resume
          release    end somebody's turn
          history    what happened at a queue
          doctor     find out why something doesn't work
          agent      what a semq on another host talks to

        semq COMMAND --help says more; so does the man page, semq(1).
        """

    static let acquire = """
        Usage: semq acquire [OPTIONS] SEMAPHORE... [-- COMMAND [ARG...]]

        Waits for its turn, runs COMMAND, and exits with the command's exit code; where the
        command dies of a signal, semq does too. Without a command it prints one line when it
        holds, and holds until standard input closes or a signal comes. SEMAPHORE is a file,
        made if it is missing; on another host it is host:path, user@host:path or
        ssh://user@host:port/path.

          -n, --nonblock, --nb          don't wait: exit 75 if it is not free
          -w, --wait, --timeout SECONDS wait no longer than this (decimals allowed): exit 75
          -E, --conflict-exit-code N    exit N instead of 75
          -c, --command STRING          run STRING with $SHELL -c
          -m, --description TEXT        shown to those who wait (default: the command)
              --priority N              -1000 to 1000, higher goes first (default: 0)
              --concurrency N           make the queue for N holders at a time
              --existing                don't make the queue
              --any                     of several semaphores, the first to be had
              --all                     all of several semaphores
              --until command|session|tree
                                        when the turn is over: when the command has ended, nobody
                                        is left in its session (default), or no daemon either
              --grace SECONDS           between SIGTERM and SIGKILL for what a command leaves
                                        behind that was told to end (default: 5); the command
                                        itself takes its time, see: timeout -k, semq release
              --any-filesystem          use a file system that is not known to keep locks
          -q, --quiet                   say nothing while waiting
          -v, --verbose                 say more

        For a semaphore on another host:

              --lease SECONDS           how long it is kept for us when we are cut off: 5 to 60
                                        (default: 15); the command is dead by then
              --on-lost kill|warn       when it is lost: end the command (default), or say so
              --retry-connect SECONDS   go on trying a host that can't be reached
              --there                   run the command on that host
              --rsh COMMAND             reach the host by this, such as "ssh -F config"
              --no-bootstrap            don't put semq onto a host that has none

        The command finds in its environment SEMQ_SEMAPHORE, SEMQ_TICKET, SEMQ_SLOT and SEMQ_TOKEN.

        Exit codes: 64 usage, 65 no usable queue file, 69 host not reached, 73 can't make it,
        74 I/O error, 75 not granted, 76 the lock was lost or ended by somebody, 77 no
        permission, 126 the command can't be executed, 127 it is not found.
        """

    static let status = """
        Usage: semq status [OPTIONS] SEMAPHORE...

        Shows who holds each semaphore, who waits, since when and why. Takes no lock.

              --json          one JSON object a line
              --watch         go on, redrawn on a terminal
              --rsh COMMAND   reach another host by this, such as "ssh -F config"
              --no-bootstrap  don't put semq onto a host that has none
        """

    static let set = """
        Usage: semq set [OPTIONS] SEMAPHORE

              --concurrency N    so many may hold at a time; from now on for all
              --pause REASON     grant nobody; those who hold go on
              --resume           grant again
              --any-filesystem   use a file system that is not known to keep locks
              --rsh COMMAND      reach another host by this, such as "ssh -F config"
              --no-bootstrap     don't put semq onto a host that has none
        """

    static let release = """
        Usage: semq release SEMAPHORE --ticket N --reason TEXT [OPTIONS]

        Ends a turn: a holder's command gets SIGTERM and, after a grace time, SIGKILL, with all
        its processes; then the slot is free. A waiter is taken out of the queue. Both exit 76.
        Where no such ticket waits or holds (any more), release exits 1.

              --ticket N         whose turn, as semq status shows it
              --reason TEXT      shown to whoever loses the turn, and kept in the history
              --grace SECONDS    between SIGTERM and SIGKILL (default: 5)
              --rsh COMMAND      reach another host by this, such as "ssh -F config"
              --no-bootstrap     don't put semq onto a host that has none
        """

    static let history = """
        Usage: semq history [OPTIONS] SEMAPHORE

        Prints grants, releases, losses, ended turns, pauses and changes, oldest first.

              --json          as kept: one JSON object a line
              --rsh COMMAND   reach another host by this, such as "ssh -F config"
              --no-bootstrap  don't put semq onto a host that has none
        """

    static let doctor = """
        Usage: semq doctor [OPTIONS] [SEMAPHORE]

        Tells in order what works and what to do about what doesn't: file, file system, locks,
        records, and who stands still; for a semaphore on another host, first the way there:
        configuration, route, host key, log-in and the semq there, and then clocks and lease.
        Without SEMAPHORE it looks at this folder.

              --rsh COMMAND   reach another host by this, such as "ssh -F config"
              --no-bootstrap  don't put semq onto a host that has none
        """

    static let agent = """
        Usage: semq agent [--restrict FOLDER [--existing]]

        What a semq on another host talks to; that one starts it, by SSH. In authorized_keys
        it makes a key that can take turns and do nothing else:

          command="semq agent --restrict /srv/queues",restrict ssh-ed25519 AAAA... ann

              --restrict FOLDER   only take turns at queues below this folder, and look at them
              --existing          don't make queues there
        """

    static let link = """
        Usage: semq link [-l USER] [-p PORT] -- HOST COMMAND

        Carries a link to another host; semq starts it for itself.
        """
}
