import Foundation
import SemQueueTestSupport
import Testing

@testable import SSHTransport

@Suite struct PromptTests {
    // MARK: terminal

    @Test(
        arguments: [
            ("secret\r", "secret"), ("sec\u{7f}\u{7f}cret\n", "scret"), ("wrong\u{15}right\n", "right"),
            ("ä\u{7f}o\n", "o"), ("\n", ""), ("half\u{4}", "half"), ("\u{4}", nil),
        ] as [(String, String?)])
    func whatIsTyped(_ typed: String, _ meant: String?) throws {
        let terminal = try Terminal()
        let secret = try terminal.ask("Say: ", typing: typed)
        #expect(secret?.withBytes { String(cString: $0) } == meant)
        // Nothing of it is shown, and the terminal is as before.
        #expect(terminal.shown() == "Say: \r\n")
        #expect(try terminal.echoes())
    }

    @Test func aCancelledPromptLeavesTheTerminalAsItWas() throws {
        let terminal = try Terminal()
        let cancellation = SSHCancellation()
        cancellation.cancel()
        #expect(TerminalPrompt(terminal: terminal.inner, cancellation: cancellation).ask("Say: ") == nil)
        #expect(try terminal.echoes())
    }

    @Test func controlCInterruptsTheProgram() async {
        await #expect(processExitsWith: .signal(SIGINT)) {
            // The whole group is told, as by the terminal.
            setpgid(0, 0)
            let terminal = try Terminal()
            _ = try terminal.ask("Say: ", typing: "ab\u{3}")
            // The signal is on its way.
            while true { pause() }
        }
    }

    @Test func aSecretIsNotPrinted() {
        let secret = SSHSecret("open sesame")
        #expect("\(secret)" == "(secret)")
        #expect(secret.count == 11)
    }

    private final class Terminal {
        let outer: Int32
        let inner: Int32

        init() throws {
            // posix_openpt(3) and its like aren't visible here.
            outer = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
            var (unlock, number): (Int32, UInt32) = (0, 0)
            try #require(outer >= 0 && ioctl(outer, 0x4004_5431, &unlock) == 0)
            try #require(ioctl(outer, 0x8004_5430, &number) == 0)
            inner = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
            try #require(inner >= 0)
        }

        deinit {
            close(outer)
            close(inner)
        }

        func ask(_ prompt: String, typing: String) throws -> SSHSecret? {
            let (outer, inner) = (outer, inner)
            Thread.detachNewThread {
                // Typed once the terminal is silent; before, it would be thrown away.
                _ = Event.happens {
                    var modes = termios()
                    return tcgetattr(inner, &modes) == 0 && modes.c_lflag & tcflag_t(ECHO) == 0
                }
                let bytes = Array(typing.utf8)
                _ = write(outer, bytes, bytes.count)
            }
            return TerminalPrompt(terminal: inner, cancellation: SSHCancellation()).ask(prompt)
        }

        /// All that the terminal shows by now.
        func shown() -> String {
            var text: [UInt8] = []
            while true {
                var entry = pollfd(fd: outer, events: Int16(POLLIN), revents: 0)
                var buffer = [UInt8](repeating: 0, count: 4096)
                // The terminal's own work takes a moment.
                guard poll(&entry, 1, text.last == UInt8(ascii: "\n") ? 0 : 5000) > 0 else { break }
                let count = read(outer, &buffer, buffer.count)
                if count <= 0 { break }
                text += buffer[..<count]
            }
            return String(decoding: text, as: UTF8.self)
        }

        func echoes() throws -> Bool {
            var modes = termios()
            try #require(tcgetattr(inner, &modes) == 0)
            let all = tcflag_t(ECHO | ICANON | ISIG)
            return modes.c_lflag & all == all
        }
    }

    // MARK: SSH_ASKPASS

    @Test func aProgramAsks() throws {
        let workshop = try Workshop()
        let program = try workshop.script("ask", "echo \"$1\" >\(workshop.path("prompt")); echo open sesame; echo more")
        let secret = AskPass.ask(program, "Say: ", cancellation: SSHCancellation())
        #expect(secret?.withBytes { String(cString: $0) } == "open sesame")
        #expect(workshop.read("prompt") == "Say: \n")
    }

    @Test func aProgramThatFailsHasNoAnswer() throws {
        let workshop = try Workshop()
        let program = try workshop.script("ask", "echo no; exit 1")
        #expect(AskPass.ask(program, "Say: ", cancellation: SSHCancellation()) == nil)
        #expect(AskPass.ask("/nowhere/ask", "Say: ", cancellation: SSHCancellation()) == nil)
    }

    @Test func aProgramThatHangsIsCancelled() throws {
        let workshop = try Workshop()
        let program = try workshop.script("ask", "echo $$ >\(workshop.path("pid")); exec sleep 100")
        let cancellation = SSHCancellation()
        Thread.detachNewThread {
            _ = Event.happens { !workshop.read("pid").isEmpty }
            cancellation.cancel()
        }
        #expect(AskPass.ask(program, "Say: ", cancellation: cancellation) == nil)
        let pid = try #require(pid_t(workshop.read("pid").trimmingCharacters(in: .newlines)))
        #expect(kill(pid, 0) == -1)
    }
}
