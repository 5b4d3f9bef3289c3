internal import CSemQueue
internal import Glibc

/// The signal state that `semq` was started with, which the command is to find unchanged.
struct InheritedSignals {
    private var mask = sigset_t()
    private let childIsIgnored = semq_signal_is_ignored(SIGCHLD)

    /// With SIGCHLD ignored, ended children would vanish unseen.
    init() {
        sigprocmask(SIG_SETMASK, nil, &mask)
        if childIsIgnored { semq_signal_default(SIGCHLD, false) }
    }

    /// In the command-to-be, before exec, which itself resets the signals that were caught.
    func restore() {
        if childIsIgnored { semq_signal_default(SIGCHLD, true) }
        var mask = mask
        sigprocmask(SIG_SETMASK, &mask, nil)
    }
}
