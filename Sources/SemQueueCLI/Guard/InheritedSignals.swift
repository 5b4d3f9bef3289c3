internal import CSemQueue
internal import Glibc

/// The signal state that `semq` was started with, which the command is to find unchanged.
struct InheritedSignals {
    private var mask = sigset_t()
    private let childIsIgnored = semq_signal_is_ignored(SIGCHLD)
    private let alarmIsIgnored = semq_signal_is_ignored(Signals.alarm)
    private let fileSizeIsIgnored = semq_signal_is_ignored(SIGXFSZ)
    private let pipeIsIgnored = semq_signal_is_ignored(SIGPIPE)

    /// With SIGCHLD ignored, ended children would vanish unseen. With SIGXFSZ not ignored, a record that is
    /// beyond the limit of a file's size would be the end of us.
    init() {
        sigprocmask(SIG_SETMASK, nil, &mask)
        if childIsIgnored { semq_signal_default(SIGCHLD, false) }
        if !fileSizeIsIgnored { semq_signal_default(SIGXFSZ, true) }
    }

    /// From here on nobody who hears no more of us is the end of us: something may be held, or is to be watched over.
    static func outliveReaders() { semq_signal_default(SIGPIPE, true) }

    /// In the command-to-be, before exec, which itself resets the signals that were caught.
    func restore() {
        if childIsIgnored { semq_signal_default(SIGCHLD, true) }
        if alarmIsIgnored { semq_signal_default(Signals.alarm, true) }
        if !fileSizeIsIgnored { semq_signal_default(SIGXFSZ, false) }
        if !pipeIsIgnored { semq_signal_default(SIGPIPE, false) }
        var mask = mask
        sigprocmask(SIG_SETMASK, &mask, nil)
    }
}
