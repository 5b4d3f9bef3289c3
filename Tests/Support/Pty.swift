import Foundation
package import Glibc
import Testing

/// A terminal of its own with a program as session leader, as a window or an ssh login starts one.
/// It does not echo, so what it shows was written by a program.
package final class Pty {
    package let pid: pid_t
    private var master: Int32
    private var shown: [UInt8] = []
    private var position = 0
    private var ended: Sandbox.Status?
    /// What must be there as long as this is: its folder, and the host on which it runs.
    private let support: [AnyObject]

    // Of <asm/ioctls.h>, which Swift doesn't import.
    private static let setLock: UInt = 0x4004_5431
    private static let getNumber: UInt = 0x8004_5430

    package init(
        _ words: [String], in sandbox: Sandbox, columns: UInt16 = 120, environment: [String: String] = [:],
        support: AnyObject? = nil
    ) throws {
        self.support = [sandbox] + (support.map { [$0] } ?? [])
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
        // unlockpt(3) and ptsname(3) as ioctls: Swift doesn't see the functions.
        var (locked, number): (Int32, Int32) = (0, 0)
        try #require(ioctl(master, Self.setLock, &locked) == 0 && ioctl(master, Self.getNumber, &number) == 0)
        let name = "/dev/pts/\(number)"
        // Held open until the program has it: the last close would set the terminal back.
        let slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)
        defer { close(slave) }
        var settings = termios()
        tcgetattr(slave, &settings)
        settings.c_lflag &= ~tcflag_t(ECHO)
        // Otherwise Ctrl-Z also throws away what is typed right behind it, faster than people do.
        settings.c_lflag |= tcflag_t(NOFLSH)
        tcsetattr(slave, TCSANOW, &settings)
        var size = winsize(ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(master, UInt(TIOCSWINSZ), &size)

        let plain = ["TERM": "xterm", "PS1": "% ", "HISTFILE": "", "NO_COLOR": ""]
        pid = try Spawn.start(
            words, in: sandbox.folder, leading: .session, environment: plain.merging(environment) { $1 }
        ) { actions in
            // A session leader that opens a terminal makes it its controlling one.
            posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
            posix_spawn_file_actions_adddup2(&actions, 0, 1)
            posix_spawn_file_actions_adddup2(&actions, 0, 2)
        }
    }

    /// An interactive bash at its first prompt.
    package static func bash(in sandbox: Sandbox) throws -> Pty {
        let pty = try Pty(["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"], in: sandbox)
        try #require(pty.sees("% "))
        return pty
    }

    deinit {
        for process in Processes.session(pid) { kill(process, SIGKILL) }
        hangUp()
        _ = wait()
    }

    // MARK: typing and reading

    package func type(_ text: String) {
        let bytes = Array(text.utf8)
        #expect(write(master, bytes, bytes.count) == bytes.count)
    }

    package func line(_ text: String) { type(text + "\n") }

    package static let interrupt = "\u{3}"
    package static let suspend = "\u{1a}"
    package static let endOfInput = "\u{4}"

    /// What was shown since the last thing that was waited for.
    package var text: String {
        drain()
        return String(decoding: shown[position...], as: UTF8.self)
    }

    /// All that was ever shown.
    package var everything: String {
        drain()
        return String(decoding: shown, as: UTF8.self)
    }

    /// Waits until a text is shown behind the last one that was waited for.
    package func sees(_ wanted: String, within seconds: Double = 20) -> Bool {
        let wanted = Array(wanted.utf8)
        return Event.happens(within: seconds) {
            drain()
            guard let range = shown[position...].firstRange(of: wanted) else { return false }
            position = range.upperBound
            return true
        }
    }

    private func drain() {
        guard master >= 0 else { return }
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(master, &buffer, buffer.count)
            guard count > 0 else { return }
            shown += buffer[..<count]
        }
    }

    // MARK: the end

    /// Closes the window, or cuts the connection.
    package func hangUp() {
        guard master >= 0 else { return }
        close(master)
        master = -1
    }

    package var hasEnded: Bool {
        if ended != nil { return true }
        drain()
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return false }
        ended = status & 0x7f == 0 ? .exited(status >> 8 & 0xff) : .signaled(status & 0x7f)
        return true
    }

    /// Waits for the end of the session leader; nil if that doesn't come.
    package func wait() -> Sandbox.Status? { Event.happens { hasEnded } ? ended : nil }
}
