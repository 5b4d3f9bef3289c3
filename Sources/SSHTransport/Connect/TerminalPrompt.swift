internal import Glibc

/// A line typed at a terminal that doesn't show it.
///
/// The terminal sends no signals meanwhile: whoever died of one would leave it mute. Ctrl-C and Ctrl-Z are seen here, and
/// passed on to whom the terminal would have sent them once it is as it was.
struct TerminalPrompt {
    /// A description of our own, non-blocking.
    let terminal: Int32
    let cancellation: SSHCancellation

    /// - Returns: nil where nothing was answered, or Ctrl-C was.
    func ask(_ prompt: String) -> SSHSecret? {
        while !cancellation.isCancelled {
            switch askOnce(prompt) {
            case .line(let secret): return secret
            case .signal(SIGTSTP):
                kill(0, SIGTSTP)
                // Who serves a program that stops now stops with it, and goes on with it.
                if isIgnored(SIGTSTP), parentStops() { raise(SIGSTOP) }
            case .signal(let number):
                kill(0, number)
                return nil
            }
        }
        return nil
    }

    private enum Answer {
        case line(SSHSecret?)
        case signal(Int32)
    }

    private func isIgnored(_ signal: Int32) -> Bool {
        var action = sigaction()
        sigaction(signal, nil, &action)
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
    }

    /// Whether the program that is served heeds the signal: nobody would let us go on alone.
    private func parentStops() -> Bool {
        for _ in 0..<20 {
            if let file = fopen("/proc/\(getppid())/stat", "r") {
                var line = [CChar](repeating: 0, count: 256)
                let count = fread(&line, 1, line.count - 1, file)
                fclose(file)
                // Behind the name, which may have anything in it.
                let state = line[..<count].lastIndex(of: CChar(UInt8(ascii: ")"))).map { line[$0 + 2] }
                if state == CChar(UInt8(ascii: "T")) { return true }
            }
            usleep(10_000)
        }
        return false
    }

    private func askOnce(_ prompt: String) -> Answer {
        var before = termios()
        guard tcgetattr(terminal, &before) == 0 else { return .line(nil) }
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO | ECHONL | ICANON | ISIG)
        guard tcsetattr(terminal, TCSAFLUSH, &silent) == 0 else { return .line(nil) }
        say(prompt)
        var signal: Int32?
        var isGivenUp = false
        let secret = SSHSecret(capacity: PassphrasePrompt.limit) { room in
            var count = 0
            while let byte = next() {
                switch byte {
                case UInt8(ascii: "\n"), UInt8(ascii: "\r"): return count
                case before.character(VINTR), before.character(VQUIT):
                    signal = SIGINT
                    return 0
                case before.character(VSUSP):
                    signal = SIGTSTP
                    return 0
                case before.character(VEOF):
                    isGivenUp = count == 0
                    return count
                case before.character(VERASE), 8, 127:
                    // A whole character, of however many bytes.
                    while count > 0 {
                        count -= 1
                        if room[count] & 0xC0 != 0x80 { break }
                    }
                case before.character(VKILL): count = 0
                default:
                    guard count < room.count else { continue }
                    room[count] = byte
                    count += 1
                }
            }
            isGivenUp = true
            return 0
        }
        putBack(&before, from: silent)
        say("\n")
        return signal.map { .signal($0) } ?? .line(isGivenUp ? nil : secret)
    }

    /// Also in the background, to which a shell puts us when whoever we serve is killed. What has changed since is that
    /// shell's business.
    private func putBack(_ before: inout termios, from silent: termios) {
        var (stop, mask) = (sigset_t(), sigset_t())
        sigemptyset(&stop)
        sigaddset(&stop, SIGTTOU)
        pthread_sigmask(SIG_BLOCK, &stop, &mask)
        var now = termios()
        if tcgetattr(terminal, &now) == 0, now.c_lflag == silent.c_lflag { tcsetattr(terminal, TCSAFLUSH, &before) }
        pthread_sigmask(SIG_SETMASK, &mask, nil)
    }

    /// Nil when cancelled, or when the terminal is gone.
    private func next() -> UInt8? {
        while true {
            var byte: UInt8 = 0
            let count = read(terminal, &byte, 1)
            if count == 1 { return byte }
            if count == 0 || errno != EAGAIN && errno != EINTR { return nil }
            var entries = [
                pollfd(fd: terminal, events: Int16(POLLIN), revents: 0),
                pollfd(fd: cancellation.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            poll(&entries, 2, -1)
            if entries[1].revents != 0 { return nil }
        }
    }

    private func say(_ text: String) {
        let bytes = Array(text.utf8)
        _ = write(terminal, bytes, bytes.count)
    }
}

extension termios {
    /// The control character of a number such as VINTR.
    fileprivate func character(_ number: Int32) -> UInt8 {
        withUnsafeBytes(of: c_cc) { $0[Int(number)] }
    }
}
