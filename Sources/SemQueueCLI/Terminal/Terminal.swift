internal import Glibc
internal import SemQueue

/// What goes to the two output streams. Written at once: `print` would buffer, and a fork copy it.
enum Terminal {
    /// On standard output, with a newline.
    static func print(_ text: String) { show(text + "\n") }

    /// On standard output, as it is. Ends the process where that can't be written: half an answer must not
    /// look like the whole.
    static func show(_ text: String) {
        guard !write(text, to: STDOUT_FILENO) else { return }
        say("can't write to standard output: \(String(cString: strerror(errno)))")
        exit(ExitCode.io.rawValue)
    }

    /// On standard error, as it is, with a newline.
    static func complain(_ text: String) { write(text + "\n", to: STDERR_FILENO) }

    /// One message on standard error.
    static func say(_ message: String) {
        complain("semq: \((OnBehalf.current?.named(message) ?? message).printable)")
    }

    /// - Returns: false where it can't be written; why is in errno.
    @discardableResult
    static func write(_ text: String, to descriptor: Int32) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                guard errno == EINTR || errno == EAGAIN else { return false }
                continue
            }
            bytes = bytes.dropFirst(count)
        }
        return true
    }

    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// Whether the terminal is ours just now: a background job that redraws a line spoils the prompt.
    static func isForeground(_ descriptor: Int32) -> Bool { tcgetpgrp(descriptor) == getpgrp() }

    /// Whether Ctrl-C at its terminal reaches a process of our session just now.
    static func isInForeground(_ process: Int32) -> Bool {
        // Whatever its streams are: the signal comes from the terminal of the session.
        let terminal = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
        guard terminal >= 0 else { return false }
        defer { close(terminal) }
        return tcgetpgrp(terminal) == getpgid(process)
    }

    /// Whether a terminal is that of our session, and another job's just now: who reads it is stopped.
    static func isInBackground(_ descriptor: Int32) -> Bool {
        let group = tcgetpgrp(descriptor)
        return group > 0 && group != getpgrp()
    }

    /// Columns of the terminal, 80 where it doesn't say.
    static func width(_ descriptor: Int32) -> Int {
        let columns = size(descriptor).columns
        return columns > 0 ? columns : 80
    }

    private static func size(_ descriptor: Int32) -> (columns: Int, rows: Int) {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 else { return (0, 0) }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// As much of a text as the terminal has room for, a row for each line; the lines that are left out are counted.
    static func clipped(_ text: String, _ descriptor: Int32) -> String {
        let (rows, columns) = (size(descriptor).rows, width(descriptor))
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
        if rows > 2, lines.count >= rows {
            let shown = lines.prefix(rows - 2)
            lines = shown + ["  … and \(lines.count - shown.count) more lines"]
        }
        return lines.map { $0.fitting(columns) + "\n" }.joined()
    }

    /// Waits, and says whether the reader of a pipe has gone meanwhile.
    static func isAbandoned(_ descriptor: Int32, within limit: Duration) -> Bool {
        var stream = pollfd(fd: descriptor, events: 0, revents: 0)
        return poll(&stream, 1, Int32(limit.nanoseconds / 1_000_000)) > 0 && stream.revents & Int16(POLLERR) != 0
    }

    /// Whether to use colour on a stream: on a terminal, unless NO_COLOR is set.
    static func usesColour(_ descriptor: Int32) -> Bool {
        isTerminal(descriptor) && (Environment.value("NO_COLOR") ?? "").isEmpty && Environment.value("TERM") != "dumb"
    }
}

/// A process started with closed standard descriptors must not get its queue file as one of them.
enum StandardDescriptors {
    static func fill() {
        for descriptor in 0...2 where fcntl(Int32(descriptor), F_GETFD) < 0 {
            // The lowest free number is this one. Close-on-exec: the command finds it closed as before. What is written to
            // an output that is closed fails as it would have.
            _ = open("/dev/null", (descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC)
        }
    }

    /// Lets go of the streams that the command works on, so that their readers see when it closes them.
    static func release(_ descriptors: [Int32]) {
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        guard null >= 0 else { return }
        for descriptor in descriptors { dup2(null, descriptor) }
        close(null)
    }
}

extension String {
    /// With everything that could move a cursor, change a colour or turn the writing round made visible.
    var printable: String {
        var result = ""
        for scalar in unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case _ where scalar.isControl: result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// Cut to a number of columns, the last one … if cut. Colours take none, and end at the cut.
    func fitting(_ width: Int) -> String {
        guard columns > width else { return self }
        var room = width - 1
        let end = styledColumns.first { _, columns in
            room -= columns
            return room < 0
        }
        let shown = String(prefix(upTo: end?.at ?? endIndex))
        return shown + "…" + (shown.contains("\u{1b}") ? "\u{1b}[0m" : "")
    }

    /// How many columns of a terminal it takes.
    var columns: Int { styledColumns.reduce(0) { $0 + $1.columns } }

    /// Each character's columns; those that set a colour (ECMA-48, SGR) have none.
    private var styledColumns: [(at: Index, columns: Int)] {
        var isStyle = false
        return indices.map { index in
            let character = self[index]
            if character == "\u{1b}" { isStyle = true }
            defer { if character == "m" { isStyle = false } }
            return (index, isStyle ? 0 : character.columns)
        }
    }
}

extension Character {
    /// Two for what East Asian scripts and most emoji take (Unicode Standard Annex 11, “W” and “F”), else one.
    fileprivate var columns: Int {
        unicodeScalars.contains { scalar in
            switch scalar.value {
            case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF,
                0xFE0F, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F1E6...0x1F1FF, 0x1F300...0x1F64F,
                0x1F680...0x1F6FF, 0x1F900...0x1F9FF, 0x1FA70...0x1FAFF, 0x20000...0x3FFFD:
                true
            default: false
            }
        } ? 2 : 1
    }
}
