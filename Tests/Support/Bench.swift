import Foundation
package import Glibc

/// A host that is none: a program that takes `ssh`'s words and runs the command in a folder of the sandbox. For
/// what semq does with a link, whatever it is made of; `TestLab` has real ones.
package struct Bench {
    private let sandbox: Sandbox
    /// The folder that is the home there.
    package let home: String

    /// - Parameter name: of the folder; the host is named as one likes.
    package init(_ sandbox: Sandbox, _ name: String = "bench") throws {
        self.sandbox = sandbox
        home = sandbox.path(name)
        mkdir(home, 0o755)
        try sandbox.write(
            "rsh",
            """
            #!/bin/bash
            echo $$ >> "$0.pids"
            if [ -e "$0.fails" ]; then cat "$0.fails" >&2; exit 255; fi
            cd '\(home)' || exit
            exec bash -c "${@: -1}"

            """, executable: true)
    }

    /// The program.
    package var rsh: String { sandbox.path("rsh") }

    /// The options by which semq finds it.
    package var options: [String] { ["--rsh", rsh, "--no-bootstrap"] }

    /// Runs `semq` to its end.
    package func semq(_ words: String...) throws -> Sandbox.Result { try start(words).wait() }

    package func starting(_ words: String...) throws -> Running { try start(words) }

    private func start(_ words: [String]) throws -> Running {
        // Options may stand behind, but not behind what belongs to the command.
        let end = words.firstIndex(of: "--") ?? words.endIndex
        return try sandbox.start([Sandbox.binary] + words[..<end] + options + words[end...])
    }

    /// The connections made so far: their agents, dead or alive.
    package var connections: [pid_t] { sandbox.lines("rsh.pids").compactMap { pid_t($0) } }

    /// From now on `ssh` fails, saying this.
    package func fails(_ sentence: String) throws { try sandbox.write("rsh.fails", sentence + "\n") }

    package func works() { unlink(sandbox.path("rsh.fails")) }

    /// The connections break, and those who answered there are gone.
    package func cut() { for pid in connections { kill(pid, SIGKILL) } }
}
