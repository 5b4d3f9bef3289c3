import Foundation
import Glibc
import Testing

/// A command that notices, without any lock of `semq`'s, when it runs twice at a time.
package struct Oracle {
    private let sandbox: Sandbox
    /// The command; for scripts, the same in one line. It takes a name, and a file to wait for while inside.
    package let words: [String]
    package var line: String { words.joined(separator: " ") }

    /// - Parameter seconds: how long the command stays inside.
    package init(_ sandbox: Sandbox, seconds: Double = 0.02) throws {
        self.sandbox = sandbox
        // By sh, and not by itself: a script that a fork elsewhere has open for writing can't be executed.
        words = [
            "/bin/sh",
            try sandbox.write(
                "work",
                """
                #!/bin/sh
                cd "${0%/*}"
                mkdir inside 2>/dev/null || echo "$1 came in while another was inside" >> overlaps
                echo "$SEMQ_TOKEN $SEMQ_TICKET $1" >> entered
                [ -z "$2" ] || until [ -e "$2" ]; do sleep 0.01; done
                sleep \(seconds)
                rmdir inside
                """),
        ]
    }

    /// What went wrong, if anything: two at once, or tokens that did not rise.
    package var complaint: String? {
        if sandbox.exists("overlaps") { return sandbox.read("overlaps") }
        let tokens = entered.compactMap { Int64($0[0]) }
        return zip(tokens, tokens.dropFirst()).allSatisfy(<) ? nil : "tokens that do not rise: \(tokens)"
    }

    /// Who was inside, in order: token, ticket and the first argument.
    package var entered: [[String]] {
        sandbox.lines("entered").map { $0.split(separator: " ").map(String.init) }
    }

    /// The first arguments of those who were inside, in order.
    package var names: [String] { entered.map { $0.count > 2 ? $0[2] : "" } }
}
