import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// A queue as `semq status --json` shows it.
struct QueueView: Decodable, Equatable {
    struct Member: Decodable, Equatable {
        var ticket: Int
        var priority: Int
        var pid: pid_t
        var host: String
        var user: String
        var description: String
        var since: String
        var slot: Int?
        var token: Int?
        var stopped: Bool?
        var remark: String?
    }

    struct Pause: Decodable, Equatable {
        var reason: String
        var by: String
        var since: String
    }

    var semaphore: String
    var concurrency: Int
    var paused: Pause?
    var holders: [Member]
    var waiting: [Member]
}

extension Sandbox {
    /// Nil while it can't be read.
    func view(_ queue: String = "board.queue") -> QueueView? {
        guard let result = try? semq("status", "--json", queue), result.status == .exited(0) else { return nil }
        return try? JSONDecoder().decode(QueueView.self, from: Data(result.out.utf8))
    }

    /// Waits until the queue looks so.
    func queue(_ queue: String = "board.queue", becomes condition: (QueueView) -> Bool) -> Bool {
        Event.happens { view(queue).map(condition) ?? false }
    }

    /// Whether somebody who doesn't wait would get it now.
    func isFree(_ queue: String = "board.queue") throws -> Bool {
        try semq("acquire", "-n", "-q", queue, "--", "true").status == .exited(0)
    }

    /// Starts a holder and waits until it holds.
    func holding(_ queue: String = "board.queue", as description: String = "holder") throws -> Running {
        let holder = try starting("acquire", "-q", "-m", description, queue, "--", "sleep", "60")
        try #require(self.queue(queue) { $0.holders.contains { $0.description == description } })
        return holder
    }

    /// Starts a waiter that writes its description to the file `log` when its turn comes, and waits until
    /// it stands in the queue.
    func waiting(_ queue: String = "board.queue", as description: String, _ options: String...) throws -> Running {
        let waiter = try start(
            [Self.binary, "acquire", "-m", description] + options
                + [queue, "--", "sh", "-c", "echo '\(description)' >> log"])
        try #require(self.queue(queue) { $0.waiting.contains { $0.description == description } })
        return waiter
    }

    /// Makes a FIFO on which a command waits with `read go < NAME`.
    func gate(_ name: String) throws { try #require(mkfifo(path(name), 0o600) == 0) }

    /// The writing end of a FIFO, once a command has it open for reading.
    func writing(_ gate: String) throws -> Int32 {
        var descriptor: Int32 = -1
        let isOpen = Event.happens {
            descriptor = Glibc.open(path(gate), O_WRONLY | O_NONBLOCK | O_CLOEXEC)
            return descriptor >= 0
        }
        try #require(isOpen, "nobody reads \(gate)")
        return descriptor
    }

    /// Lets the command that waits at the FIFO go on.
    func open(_ gate: String) throws {
        let descriptor = try writing(gate)
        #expect(Glibc.write(descriptor, "go\n", 3) == 3)
        close(descriptor)
    }

    /// Makes an executable file. Copied by another process: one that this process has open for writing is
    /// inherited for a moment by whatever the test beside is starting, and is refused as “text file busy”.
    func executable(_ name: String, _ text: String) throws {
        try write(name + ".text", text)
        try #require(shell("install -m 755 \(name).text \(name)").status == .exited(0))
    }

    /// A process id that a command has written to a file.
    func pid(in name: String) throws -> pid_t {
        try #require(Event.happens { read(name).hasSuffix("\n") })
        return try #require(pid_t(read(name).split(separator: "\n").last ?? ""))
    }
}

extension Running {
    /// Ends the program with SIGTERM.
    func stop() {
        send(SIGTERM)
        wait()
    }

    func says(_ text: String) -> Bool { Event.happens { err.contains(text) } }
}

extension Sandbox {
    func bytes(_ name: String) -> Data? { FileManager.default.contents(atPath: path(name)) }
}
