internal import Glibc

/// Asks for a passphrase: on the terminal, or through the program in `SSH_ASKPASS` where there is no terminal or
/// `SSH_ASKPASS_REQUIRE` wants it so (ssh(1), ENVIRONMENT).
enum PassphrasePrompt {
    /// Longer ones are cut.
    static let limit = 1024

    /// - Returns: nil where nobody could be asked, or nobody answered.
    static func ask(_ prompt: String, cancellation: SSHCancellation) -> SSHSecret? {
        let program = environment("SSH_ASKPASS")
        let isGraphic = environment("DISPLAY") != nil || environment("WAYLAND_DISPLAY") != nil
        let require = environment("SSH_ASKPASS_REQUIRE")
        if let program, require == "force" || require == "prefer" && isGraphic {
            return AskPass.ask(program, prompt, cancellation: cancellation)
        }
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
        if terminal >= 0 {
            defer { close(terminal) }
            return TerminalPrompt(terminal: terminal, cancellation: cancellation).ask(prompt)
        }
        guard let program, isGraphic, require != "never" else { return nil }
        return AskPass.ask(program, prompt, cancellation: cancellation)
    }

    private static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
}
