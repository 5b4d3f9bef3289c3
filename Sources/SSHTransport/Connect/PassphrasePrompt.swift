internal import Glibc

/// Asks for a passphrase: on the terminal without showing it, or through the program in SSH_ASKPASS where there is
/// no terminal (ssh(1), ENVIRONMENT).
enum PassphrasePrompt {
    static func ask(_ prompt: String, cancellation: SSHCancellation) -> SSHSecret? {
        nil
    }
}
