import Foundation
package import Glibc
import Testing

/// A folder for one test, and the built `semq` run in it as a user would.
package final class Sandbox {
    package let folder: String

    /// The binary that users get. `scripts/test` builds it and says where it is.
    package static let binary: String =
        ProcessInfo.processInfo.environment["SEMQ_BINARY"] ?? root + "/.build-static/bin/semq"

    /// One of an earlier commit, with whose queues, agents and clients this one has to get on.
    /// - Throws: where there is none, which is no reason to skip a test.
    package static func oldBinary() throws -> String {
        let told = ProcessInfo.processInfo.environment["SEMQ_OLD_BINARY"] ?? ""
        let found = access(told, X_OK) == 0 ? told : nil
        return try #require(
            found,
            "SEMQ_OLD_BINARY names no semq of an earlier commit (‘\(told)’): set it to what scripts/build-commit cbacbda prints"
        )
    }

    /// The checkout.
    package static let root: String = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path

    package init(in parent: String = "/tmp") throws {
        var template = Array("\(parent)/semq-test.XXXXXX".utf8CString)
        let made = try #require(mkdtemp(&template))
        folder = String(cString: made)
        chmod(folder, 0o755)
    }

    deinit {
        for name in mounts { while umount2(path(name), Int32(MNT_DETACH)) == 0 {} }
        try? FileManager.default.removeItem(atPath: folder)
    }

    private var mounts: [String] = []

    /// Mounts a file system for as long as the sandbox lives.
    /// - Parameters:
    ///   - command: mounts it at `$1`; run by the shell in the sandbox's folder.
    ///   - name: where, in the sandbox.
    package func mount(_ command: String, at name: String = "mounted") throws {
        mkdir(path(name), 0o755)
        mounts.append(name)
        let result = try start(["/bin/sh", "-c", command, "mount", path(name)]).wait()
        try #require(result.status == .exited(0), "\(result.err)")
    }

    package func path(_ name: String) -> String { folder + "/" + name }

    @discardableResult
    package func write(_ name: String, _ text: String, executable: Bool = false) throws -> String {
        let file = path(name)
        guard executable else {
            try text.write(toFile: file, atomically: false, encoding: .utf8)
            return file
        }
        // Not written here: a process that is being forked on another thread may have it open for writing
        // just then, and it could not be executed (ETXTBSY).
        try text.write(toFile: file + ".text", atomically: false, encoding: .utf8)
        let moved = try start(["/bin/sh", "-c", "cp $0.text $0 && chmod 755 $0 && rm $0.text", file]).wait()
        try #require(moved.status == .exited(0), "\(moved.err)")
        return file
    }

    package func read(_ name: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path(name)) ?? Data(), as: UTF8.self)
    }

    package func exists(_ name: String) -> Bool { access(path(name), F_OK) == 0 }

    /// How many lines a file has by now.
    package func lines(_ name: String) -> [String] {
        read(name).split(separator: "\n").map(String.init)
    }

    // MARK: running

    package struct Result: Equatable {
        package var status: Status
        package var out: String
        package var err: String

        package init(status: Status, out: String, err: String) {
            (self.status, self.out, self.err) = (status, out, err)
        }
    }

    package enum Status: Equatable {
        case exited(Int32)
        case signaled(Int32)
    }

    /// Runs `semq` to its end.
    package func semq(_ arguments: String..., environment: [String: String] = [:]) throws -> Result {
        try start([Self.binary] + arguments, environment: environment).wait()
    }

    /// Starts `semq` and leaves it running.
    package func starting(_ arguments: String..., input: String? = nil) throws -> Running {
        try start([Self.binary] + arguments, input: input)
    }

    /// Runs a line of shell with `semq` in PATH.
    package func shell(_ line: String, environment: [String: String] = [:]) throws -> Result {
        try start(["/bin/bash", "-c", line], environment: environment).wait()
    }

    /// Starts a line of shell with `semq` in PATH and leaves it running.
    package func startingShell(_ line: String) throws -> Running {
        try start(["/bin/bash", "-c", line])
    }

    /// - Parameters:
    ///   - words: the program, by its path, and its arguments.
    ///   - input: a file for standard input, in the sandbox; /dev/null if nil.
    package func start(_ words: [String], environment: [String: String] = [:], input: String? = nil)
        throws -> Running
    {
        number += 1
        return try Running(
            words, folder: folder, input: input.map(path) ?? "/dev/null", out: path(".out.\(number)"),
            err: path(".err.\(number)"), environment: environment)
    }

    private var number = 0
}

/// A program that was started. Its output goes to files: a daemon that keeps them open delays nobody.
package final class Running {
    package let pid: pid_t
    /// What must be there as long as this is: the host on which it runs.
    private let support: AnyObject?
    private let outPath: String
    private let errPath: String
    private var ended: Sandbox.Status?

    init(
        _ words: [String], folder: String, input: String, out: String, err: String,
        environment: [String: String], support: AnyObject? = nil
    ) throws {
        (outPath, errPath) = (out, err)
        self.support = support
        pid = try Spawn.start(words, in: folder, leading: .group, environment: environment) { actions in
            posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
            posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            posix_spawn_file_actions_addopen(&actions, 2, err, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        }
    }

    deinit {
        guard ended == nil else { return }
        kill(-pid, SIGKILL)
        kill(pid, SIGKILL)
        _ = wait()
    }

    package var out: String {
        String(decoding: FileManager.default.contents(atPath: outPath) ?? Data(), as: UTF8.self)
    }
    package var err: String {
        String(decoding: FileManager.default.contents(atPath: errPath) ?? Data(), as: UTF8.self)
    }

    /// Waits for the end, a minute at most.
    @discardableResult
    package func wait() -> Sandbox.Result {
        if !Event.happens(within: 60, { self.hasEnded }) {
            Issue.record("process \(pid) did not end within a minute; its standard error: \(err)")
            kill(-pid, SIGKILL)
            kill(pid, SIGKILL)
            _ = Event.happens { self.hasEnded }
        }
        return Sandbox.Result(status: ended ?? .signaled(SIGKILL), out: out, err: err)
    }

    package var hasEnded: Bool {
        if ended != nil { return true }
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return false }
        ended = status & 0x7f == 0 ? .exited(status >> 8 & 0xff) : .signaled(status & 0x7f)
        return true
    }

    package func send(_ signal: Int32) { kill(pid, signal) }
}

package enum Event {
    /// Waits until something is so.
    /// - Parameter seconds: when to give up; generous, because a loaded machine is no failure.
    /// - Returns: whether it came to be so.
    package static func happens(within seconds: Double = 20, _ condition: () -> Bool) -> Bool {
        let end = Date().addingTimeInterval(seconds)
        while !condition() {
            if Date() > end { return false }
            poll(nil, 0, 5)
        }
        return true
    }
}
