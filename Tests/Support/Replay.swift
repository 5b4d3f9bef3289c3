import Foundation
package import Glibc
package import Testing

/// A queue of its own at which a counterexample of docs/model.md is replayed: by the `semq` that users get, or by one in
/// which a fault is put back.
package struct Replay {
    package let sandbox: Sandbox
    /// The `semq` that runs here.
    package let binary: String
    private let environment: [String: String]

    /// - Parameters:
    ///   - fault: its name in docs/model.md; nil: none is put in.
    ///   - parent: where the sandbox lies.
    /// - Throws: where a fault is asked for, and no binary has it.
    package init(_ fault: String? = nil, in parent: String = "/tmp") throws {
        sandbox = try Sandbox(in: parent)
        guard let fault else {
            (binary, environment) = (Sandbox.binary, [:])
            return
        }
        binary = try Self.mutants()
        let folder = URL(fileURLWithPath: binary).deletingLastPathComponent().path
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        environment = ["SEMQ_MUTANT": fault, "PATH": "\(folder):\(path)"]
    }

    /// The binary that has all the faults, each to be switched on.
    private static func mutants() throws -> String {
        let told = ProcessInfo.processInfo.environment["SEMQ_MUTANTS_BINARY"] ?? ""
        let found = access(told, X_OK) == 0 ? told : nil
        return try #require(
            found,
            "SEMQ_MUTANTS_BINARY names no semq with the models' faults (‘\(told)’): set it to what Tests/Model/mutants prints"
        )
    }

    /// Replays a counterexample twice: what is wrong in it must be seen with the fault, and must not without.
    /// - Parameter body: runs it, and returns whether that was seen.
    package static func check(
        _ fault: String, in parent: String = "/tmp", sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (Replay) throws -> Bool
    ) throws {
        #expect(
            try body(Replay(fault, in: parent)), "the fault \(fault) doesn't show: this replays nothing",
            sourceLocation: sourceLocation)
        #expect(
            try !body(Replay(in: parent)), "without the fault \(fault) the same is seen", sourceLocation: sourceLocation
        )
    }

    // MARK: running

    /// Starts a program, its `semq` in PATH.
    package func start(_ words: [String], input: String? = nil) throws -> Running {
        try sandbox.start(words, environment: environment, input: input)
    }

    /// Runs `semq` to its end.
    @discardableResult
    package func semq(_ words: String...) throws -> Sandbox.Result { try start([binary] + words).wait() }

    /// The words that run its `semq` where the environment isn't passed on.
    package var words: [String] { ["env"] + environment.map { "\($0.key)=\($0.value)" } + [binary] }

    /// An acquire whose command says that it is in, and stays until it is let go.
    package func turn(_ name: String, _ options: String...) -> [String] {
        let line = "echo $$ > pid-\(name); touch in-\(name); until [ -e go-\(name) ]; do sleep 0.01; done"
        return [binary, "acquire", "-q"] + options + ["board.queue", "--", "sh", "-c", line]
    }

    package func isIn(_ name: String) -> Bool { sandbox.exists("in-\(name)") }

    package func letGo(_ name: String) throws { try sandbox.write("go-\(name)", "") }

    /// Starts a turn and waits until it holds.
    package func holding(_ name: String) throws -> Running {
        let holder = try start(turn(name))
        try #require(Event.happens { isIn(name) }, "\(holder.err)")
        return holder
    }

    /// Whether one more is let in at once.
    package func letsInOneMore() throws -> Bool {
        let result = try semq("acquire", "-q", "-n", "board.queue", "--", "true")
        try #require(result.status == .exited(0) || result.status == .exited(75), "\(result)")
        return result.status == .exited(0)
    }

    // MARK: instants

    /// Starts a program that is hit by a signal; see Tests/Injector.
    /// - Parameters:
    ///   - place: where, as the injector's first words say it.
    ///   - report: the file in the sandbox in which the injector tells of it.
    package func inject(_ place: String..., signal: Int32, report: String = "report", _ words: [String]) throws
        -> Running
    {
        try start([Machine.built("SemQueueInjector")] + place + ["\(signal)", sandbox.path(report)] + words)
    }

    /// The process that was hit, once it was.
    package func hit(_ report: String = "report") -> pid_t? {
        sandbox.lines(report).first { $0.hasPrefix("hit ") }.flatMap { pid_t($0.split(separator: " ")[1]) }
    }

    /// Whoever stands still at its instant goes on.
    package func goOn(_ report: String = "report") throws { try sandbox.write("\(report).go", "") }

    /// As `fg` does for one that is stopped; traced, it is shown as that.
    package func foreground(_ pid: pid_t, of job: Running) {
        if let state = Machine.state(of: pid), "Tt".contains(state) { kill(-job.pid, SIGCONT) }
    }
}
