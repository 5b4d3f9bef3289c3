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

        semq COMMAND --help says more; so does the man page, semq(1).
        """

    static let acquire = """
        Usage: semq acquire [OPTIONS] SEMAPHORE... [-- COMMAND [ARG...]]

        Waits for its turn, runs COMMAND, and exits with the command's exit code; where the
        command dies of a signal, semq does too. Without a command it prints one line when it
        holds, and holds until standard input closes or a signal comes. SEMAPHORE is a file,
        made if it is missing.

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
              --any-filesystem          use a file system that is not known to keep locks
          -q, --quiet                   say nothing while waiting
          -v, --verbose                 say more

        The command finds in its environment SEMQ_SEMAPHORE, SEMQ_TICKET, SEMQ_SLOT and SEMQ_TOKEN.

        Exit codes: 64 usage, 65 no usable queue file, 73 can't make it, 74 I/O error,
        75 not granted, 76 the lock was lost or ended by somebody, 77 no permission,
        126 the command can't be executed, 127 it is not found.
        """

    static let status = """
        Usage: semq status [--json] [--watch] SEMAPHORE...

        Shows who holds each semaphore, who waits, since when and why. Takes no lock.

              --json     one JSON object a line
              --watch    go on, redrawn on a terminal
        """

    static let set = """
        Usage: semq set SEMAPHORE [--concurrency N] [--pause REASON | --resume] [--any-filesystem]

              --concurrency N    so many may hold at a time; from now on for all
              --pause REASON     grant nobody; those who hold go on
              --resume           grant again
              --any-filesystem   use a file system that is not known to keep locks
        """

    static let release = """
        Usage: semq release SEMAPHORE --ticket N --reason TEXT [--grace SECONDS]

        Ends a turn: a holder's command gets SIGTERM and, after a grace time, SIGKILL, with all
        its processes; then the slot is free. A waiter is taken out of the queue. Both exit 76.

              --ticket N         whose turn, as semq status shows it
              --reason TEXT      shown to whoever loses the turn, and kept in the history
              --grace SECONDS    between SIGTERM and SIGKILL (default: 5)
        """

    static let history = """
        Usage: semq history SEMAPHORE [--json]

        Prints grants, releases, losses, ended turns, pauses and changes, oldest first.

              --json    as kept: one JSON object a line
        """

    static let doctor = """
        Usage: semq doctor [SEMAPHORE]

        Tells in order what works and what to do about what doesn't: file, file system, locks,
        records, and who stands still. Without SEMAPHORE it looks at this folder.
        """
}
