import Glibc
import SemQueueTestSupport
import Testing

/// Two containers that share a folder, by podman and runc.
@Suite(.serialized) struct ContainerTests {
    /// An image with busybox, and a place for podman's files.
    private struct Engine {
        let sandbox: Sandbox
        let oracle: Oracle

        init() throws {
            sandbox = try Sandbox()
            oracle = try Oracle(sandbox)
            // On machines with hybrid cgroups runc works and crun doesn't; limits may not be raised everywhere.
            try sandbox.write(
                "containers.conf",
                """
                [containers]
                default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
                [engine]
                runtime = "runc"
                """)
            let line = """
                mkdir -p image/bin shared && cp "$(command -v busybox)" image/bin/ && cp work shared/ && cp \(Sandbox.binary) shared/semq &&
                for a in sh sleep mkdir rmdir echo true; do ln -s busybox image/bin/$a; done && tar -C image -cf image.tar . &&
                podman --root "$PWD/store" --runroot "$PWD/run" import image.tar semq-test
                """
            let made = try sandbox.shell(line, environment: environment)
            try #require(made.status == .exited(0), "\(made.err)")
        }

        private var environment: [String: String] { ["CONTAINERS_CONF": sandbox.path("containers.conf")] }

        private var podman: [String] { ["podman", "--root", sandbox.path("store"), "--runroot", sandbox.path("run")] }

        func run(_ name: String, _ words: String...) throws -> Running {
            let options = [
                "run", "--rm", "--name", name, "--network", "none", "-v", "\(sandbox.path("shared")):/shared",
                "semq-test",
            ]
            return try sandbox.start(podman + options + words, environment: environment)
        }

        func kill(_ name: String) throws -> Sandbox.Result {
            try sandbox.start(podman + ["kill", "--signal", "KILL", name], environment: environment).wait()
        }

        func tidy() throws {
            _ = try sandbox.start(podman + ["rm", "--all", "--force"], environment: environment).wait()
            _ = try sandbox.start(podman + ["unmount", "--all"], environment: environment).wait()
            _ = try sandbox.shell("umount -l store/overlay store/* run/* 2>/dev/null")
        }
    }

    private func canRun() -> Bool {
        Machine.has(
            .root, .program("podman", package: "podman"), .program("runc", package: "runc"),
            .program("busybox", package: "busybox-static"))
    }

    @Test func containersThatShareAFolderExcludeEachOther() throws {
        guard canRun() else { return }
        let engine = try Engine()
        defer { try? engine.tidy() }
        let all = try (1...4).map { number in
            try engine.run(
                "semq-\(getpid())-\(number)", "/shared/semq", "acquire", "-q", "/shared/board.queue", "--", "/bin/sh",
                "/shared/work", "\(number)")
        }
        for running in all { #expect(running.wait().status == .exited(0), "\(running.err)") }
        #expect(engine.sandbox.lines("shared/entered").count == 4)
        #expect(!engine.sandbox.exists("shared/overlaps"))
    }

    /// One that is killed frees the lock at once, for another container and for the host.
    @Test func killedContainerFreesTheLock() throws {
        guard canRun() else { return }
        let engine = try Engine()
        defer { try? engine.tidy() }
        let sandbox = engine.sandbox
        let name = "semq-\(getpid())-holder"
        let holder = try engine.run(
            name, "/shared/semq", "acquire", "-q", "/shared/board.queue", "--", "/bin/sh", "/shared/work", "holder",
            "never")
        #expect(Event.happens { sandbox.lines("shared/entered").count == 1 })
        #expect(try sandbox.semq("acquire", "-q", "-n", "shared/board.queue", "--", "true").status == .exited(75))
        let waiter = try engine.run(
            "semq-\(getpid())-waiter", "/shared/semq", "acquire", "/shared/board.queue", "--", "/bin/echo", "in")
        #expect(Event.happens { waiter.err.contains("/shared/board.queue: next in line; held by ") })
        #expect(try sandbox.semq("status", "shared/board.queue").out.contains("held, 1 waiting"))
        #expect(try engine.kill(name).status == .exited(0))
        let result = waiter.wait()
        #expect(result.status == .exited(0) && result.out == "in\n")
        #expect(holder.wait().status == .exited(137))
        #expect(try sandbox.semq("acquire", "-q", "-n", "shared/board.queue", "--", "true").status == .exited(0))
    }

    /// A queue that is not on a shared folder is that container's own: doctor says so.
    @Test func doctorTellsOfAContainersOwnQueue() throws {
        guard canRun() else { return }
        let engine = try Engine()
        defer { try? engine.tidy() }
        let result = try engine.run(
            "semq-\(getpid())-doctor", "/bin/sh", "-c",
            "/shared/semq acquire -q /own.queue -- true && /shared/semq doctor /own.queue"
        ).wait()
        #expect(result.status == .exited(0), "\(result.err)")
        #expect(result.out.contains("note  file system  overlay: the file is this container's own"), "\(result.out)")
    }
}
