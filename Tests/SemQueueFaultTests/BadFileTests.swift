import Glibc
import SemQueueTestSupport
import Testing

/// What can't serve as a queue file is refused, with its path and the reason, and left as it was.
@Suite struct BadFileTests {
    @Test func missingFolderIsNamed() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.semq("acquire", "nowhere/board.queue", "--", "touch", "ran")
        #expect(result.status == .exited(73))
        #expect(result.err == "semq: nowhere/board.queue: there is no folder nowhere to make the queue in\n")
        #expect(!sandbox.exists("ran") && !sandbox.exists("nowhere"))
        // Advice to make a queue there would lead on to the same.
        let look = try sandbox.semq("status", "nowhere/board.queue")
        #expect(look.status == .exited(73))
        #expect(look.err == "semq: nowhere/board.queue: there is no such queue, and no folder nowhere\n")
    }

    @Test func fileAsFolderIsNamed() throws {
        let sandbox = try Sandbox()
        try sandbox.write("file", "text")
        let result = try sandbox.semq("acquire", "file/board.queue", "--", "touch", "ran")
        #expect(result.status == .exited(73))
        #expect(result.err.hasPrefix("semq: file/board.queue: "))
        #expect(result.err.contains("Not a directory"))
        #expect(!sandbox.exists("ran"))
    }

    @Test(arguments: [
        ("folder", "mkdir thing"), ("FIFO", "mkfifo thing"), ("device", "mknod thing c 1 3"),
        ("socket", "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"thing\", Listen => 1)'"),
    ]) func whatIsNoRegularFileIsRefused(_ kind: String, _ make: String) throws {
        guard Machine.has(.root, .program("perl", package: "perl")) else { return }
        let sandbox = try Sandbox()
        #expect(try sandbox.shell(make).status == .exited(0))
        for command in [
            ["acquire", "thing", "--", "touch", "ran"], ["status", "thing"], ["set", "thing", "--concurrency", "2"],
        ] {
            let result = try sandbox.start([Sandbox.binary] + command).wait()
            #expect(result.status == .exited(65), "\(command)")
            #expect(
                result.err == "semq: thing: is a \(kind); a queue is a regular file, such as thing.queue\n",
                "\(command)")
        }
        let inside = try sandbox.semq("acquire", "thing/", "--", "touch", "ran")
        #expect(inside.status == .exited(kind == "folder" ? 65 : 73))
        #expect(!sandbox.exists("ran") && !sandbox.exists("thing.history"))
    }

    @Test func linkIsNotFollowed() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.shell("ln -s target thing").status == .exited(0))
        let result = try sandbox.semq("acquire", "thing", "--", "touch", "ran")
        #expect(result.status == .exited(65))
        #expect(
            result.err
                == "semq: thing: is a symbolic link, and links are not followed; name the file that it points to\n")
        #expect(!sandbox.exists("ran") && !sandbox.exists("target"))
        // A folder on the way may be one, but not one that leads nowhere.
        #expect(try sandbox.shell("ln -s circle circle").status == .exited(0))
        let circle = try sandbox.semq("acquire", "circle/q", "--", "true")
        #expect(circle.status == .exited(73))
        #expect(circle.err == "semq: circle/q: can't open the queue file: Too many levels of symbolic links\n")
    }

    @Test(arguments: ["q.history", "q.history.1"]) func aHistoryIsNoQueue(_ name: String) throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.semq("acquire", "-q", "q", "--", "true").status == .exited(0))
        #expect(try sandbox.shell("cp q.history q.history.1; cp q.history before").status == .exited(0))
        let result = try sandbox.semq("acquire", name, "--", "touch", "ran")
        #expect(result.status == .exited(65))
        #expect(result.err == "semq: \(name): is the history of q; name the queue itself\n")
        #expect(!sandbox.exists("ran") && sandbox.read(name) == sandbox.read("before"))
    }

    @Test(arguments: [
        (
            "{\"concurrency\": 1, \"queue\": [{\"pid\": 4242}]}\n",
            "is JSON, such as the Python MinimalCI kept its queues in"
        ),
        ("#!/bin/sh\necho precious\n", "is not a semq queue, and nobody uses it as one"),
        ("\n", "is not a semq queue, and nobody uses it as one"),
    ]) func somebodyElsesFileIsLeftAlone(_ content: String, _ reason: String) throws {
        let sandbox = try Sandbox()
        try sandbox.write("state.json", content)
        for command in [
            ["acquire", "state.json", "--", "touch", "ran"], ["acquire", "-n", "state.json"],
            ["set", "state.json", "--concurrency", "3"], ["status", "state.json"],
        ] {
            let result = try sandbox.start([Sandbox.binary] + command).wait()
            #expect(result.status == .exited(65), "\(command)")
            #expect(
                result.err == "semq: state.json: \(reason); move it away or name another file; nothing was changed\n",
                "\(command)")
        }
        #expect(sandbox.read("state.json") == content)
        #expect(!sandbox.exists("ran") && !sandbox.exists("state.json.history"))
    }

    /// Touched by an administrator to fix owner and mode, as for flock.
    @Test func emptyFileBecomesAQueue() throws {
        let sandbox = try Sandbox()
        try sandbox.write("board.queue", "")
        #expect(try sandbox.semq("acquire", "-q", "board.queue", "--", "true").status == .exited(0))
        #expect(try sandbox.semq("status", "board.queue").out == "board.queue: free, nobody waits\n")
    }

    @Test func missingQueueIsNotMadeByThoseWhoLook() throws {
        let sandbox = try Sandbox()
        for command in [
            ["status", "board.queue"], ["history", "board.queue"],
            ["release", "board.queue", "--ticket", "1", "--reason", "x"], ["acquire", "--existing", "board.queue"],
        ] {
            let result = try sandbox.start([Sandbox.binary] + command).wait()
            #expect(result.status == .exited(73), "\(command)")
            #expect(result.err.hasPrefix("semq: board.queue: there is no such queue"), "\(command): \(result.err)")
        }
        #expect(!sandbox.exists("board.queue"))
    }

    /// Names with control characters are shown, never sent to a terminal.
    @Test func strangeNameIsMadeVisible() throws {
        let sandbox = try Sandbox()
        let name = "odd \u{1b}[31m\nname \u{202e}"
        let made = try sandbox.semq("acquire", name, "--", "true")
        #expect(made.status == .exited(0))
        #expect(made.err.contains("odd \\u{1b}[31m\\nname \\u{202e}"))
        let missing = try sandbox.semq("acquire", "none/\(name)", "--", "true")
        #expect(missing.status == .exited(73))
        for text in [made.err, missing.err, try sandbox.semq("status", name).out] {
            #expect(text.isHarmless, "\(text)")
        }
    }
}
