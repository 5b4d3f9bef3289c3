import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Whatever stands in a description: no newline forges a record, no escape sequence reaches a terminal.
@Suite struct DescriptionTests {
    static let nasty: [String] = [
        "line one\nline two\r\nsemq1 slot queue=0 slot=0 state=free #00000000\n",
        "\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7} \u{1b}[2J\u{1b}[H",
        "bell \u{7} back \u{8}\u{8} delete \u{7f} null-like \u{1}",
        "C1 \u{9b}31m and \u{85} next line",
        "turned \u{202e}dnuora\u{202c} \u{2066}x\u{2069} zero\u{200b}width \u{feff}",
        "percent %0a %1b %% %zz", "text=forged state=held ticket=999", "tab\tand   spaces  ", "",
        String(repeating: "long ", count: 5000), String(repeating: "\u{1b}\n", count: 400),
        "umlauts äöü, 漢字, 👩‍🔬 and a combining e\u{301}",
    ]

    @Test(arguments: nasty.indices) func descriptionIsHarmless(_ index: Int) throws {
        let text = Self.nasty[index]
        let sandbox = try Sandbox()
        let holder = try sandbox.starting(
            "acquire", "-q", "-m", text, "board.queue", "--", "sh", "-c", "until [ -e go ]; do sleep 0.01; done")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("held")) == true })
        let waiter = try sandbox.starting("acquire", "-m", text, "board.queue", "--", "true")
        #expect(Event.happens { waiter.err.contains("next in line") })
        let status = try sandbox.semq("status", "board.queue")
        #expect(status.out.isHarmless && waiter.err.isHarmless, "\(status.out)")
        #expect(status.out.hasPrefix("board.queue: held, 1 waiting\n"))
        #expect(!status.out.contains("unreadable"))
        #expect(status.out.split(separator: "\n").count == 4, "a line for each: \(status.out)")
        #expect(waiter.err.split(separator: "\n").count == 1, "\(waiter.err)")
        let json = try sandbox.semq("status", "--json", "board.queue").out
        #expect(json.isHarmless && json.split(separator: "\n").count == 1)
        let busy = try sandbox.semq("acquire", "-n", "board.queue", "--", "true")
        #expect(busy.status == .exited(75) && busy.err.isHarmless && busy.err.split(separator: "\n").count == 1)
        try checkFile(sandbox)
        try sandbox.write("go", "")
        #expect(holder.wait().status == .exited(0))
        #expect(waiter.wait().status == .exited(0))
        try checkFile(sandbox)
        let history = try sandbox.semq("history", "board.queue")
        #expect(history.out.isHarmless)
        #expect(sandbox.lines("board.queue.history").count == 4, "\(history.out)")
        #expect(sandbox.read("board.queue.history").isHarmless)
    }

    /// Not UTF-8: a name from an older machine, a byte out of place.
    @Test func bytesThatAreNoTextAreHarmless() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.startingShell(
            "exec semq acquire -q board.queue -- bash -c 'until [ -e go ]; do sleep 0.01; done' $'\\xff\\xfe\\xc3('")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("held")) == true })
        let status = try sandbox.semq("status", "board.queue")
        #expect(status.out.isHarmless && status.out.contains("bash -c"))
        try checkFile(sandbox)
        try sandbox.write("go", "")
        #expect(holder.wait().status == .exited(0))
    }

    /// A reason for a pause or an end of a turn is shown to people too.
    @Test func reasonIsHarmless() throws {
        let sandbox = try Sandbox()
        let reason = "broken\u{1b}[31m\nsemq: granted"
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        #expect(try sandbox.semq("set", "board.queue", "--pause", reason).status == .exited(0))
        let refused = try sandbox.semq("acquire", "-n", "board.queue", "--", "true")
        #expect(refused.status == .exited(75))
        #expect(refused.err.contains(": broken\\u{1b}[31m\\nsemq: granted\n"))
        #expect(try sandbox.semq("status", "board.queue").out.isHarmless)
        #expect(try sandbox.semq("set", "board.queue", "--resume").status == .exited(0))
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sleep", "60")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("held")) == true })
        let ticket = try sandbox.shell(
            "semq status --json board.queue | grep -o '\"ticket\": [0-9]*' | grep -o '[0-9]*'"
        ).out.dropLast()
        let released = try sandbox.semq("release", "board.queue", "--ticket", String(ticket), "--reason", reason)
        #expect(released.status == .exited(0), "\(released.err)")
        let lost = holder.wait()
        #expect(lost.status == .exited(76))
        #expect(lost.err.isHarmless && lost.err.contains("broken\\u{1b}[31m\\nsemq: granted"))
    }

    /// The file is lines of one length, blank or of one record, and without a control character.
    private func checkFile(_ sandbox: Sandbox) throws {
        // Lines that were never written are a hole.
        let text = sandbox.read("board.queue").replacing("\0", with: "")
        let isHarmless = text.isHarmless
        #expect(isHarmless)
        let lengths = Set(
            text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast().map(\.count))
        #expect(lengths == [511])
        let slots = ("\n" + text).components(separatedBy: "\nsemq1 slot ").count - 1
        #expect(slots == 1)
    }
}
