import Glibc
import SemQueueTestSupport
import Testing

/// Too few descriptors or processes to be had: refused with the limit named, and nothing stays held.
@Suite struct LimitTests {
    private func isFree(_ sandbox: Sandbox) throws -> Bool {
        try sandbox.semq("acquire", "-q", "-n", "board.queue", "--", "true").status == .exited(0)
    }

    /// With as few as no free descriptors it is refused with the limit named, or it runs; nothing stays held.
    @Test func limitOfDescriptors() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        var ran = 0
        var refused = 0
        for limit in 3...16 {
            let result = try sandbox.shell("ulimit -n \(limit); exec semq acquire board.queue -- /bin/true")
            if result.status == .exited(0) {
                ran += 1
                #expect(result.err.isEmpty)
            } else {
                refused += 1
                #expect(result.status == .exited(74), "ulimit -n \(limit): \(result)")
                #expect(result.err.contains("Too many open files"), "ulimit -n \(limit): \(result.err)")
                #expect(result.err.contains("(ulimit -n)"), "ulimit -n \(limit): \(result.err)")
                #expect(ran == 0, "more is worse")
            }
            #expect(try isFree(sandbox), "after ulimit -n \(limit)")
        }
        #expect(ran > 5 && refused > 0)
    }

    /// The same behind another: what can't be had at the head of the queue gives the place back.
    @Test(arguments: 4...12) func limitOfDescriptorsWhileWaiting(_ limit: Int) throws {
        let sandbox = try Sandbox()
        let oracle = try Oracle(sandbox)
        let holder = try sandbox.start(
            [Sandbox.binary, "acquire", "-q", "board.queue", "--"] + oracle.words + ["holder", "go"])
        #expect(Event.happens { oracle.names == ["holder"] })
        let poor = try sandbox.startingShell(
            "ulimit -n \(limit); exec semq acquire -q board.queue -- /bin/true")
        #expect(
            Event.happens {
                poor.hasEnded || (try? sandbox.semq("status", "board.queue").out.contains("1 waiting")) == true
            })
        let next = try sandbox.start([Sandbox.binary, "acquire", "-q", "board.queue", "--"] + oracle.words + ["next"])
        try sandbox.write("go", "")
        #expect(holder.wait().status == .exited(0))
        #expect(next.wait().status == .exited(0))
        let result = poor.wait()
        if result.status != .exited(0) {
            #expect(result.status == .exited(74), "ulimit -n \(limit): \(result)")
            #expect(result.err.contains("(ulimit -n)"), "ulimit -n \(limit): \(result.err)")
        }
        #expect(oracle.complaint == nil)
        #expect(try isFree(sandbox))
    }

    /// As a user who may have no more processes: the fork of the guardian or of the command fails.
    @Test(arguments: [false, true]) func limitOfProcesses(isQueued: Bool) throws {
        guard Machine.has(.root, .program("setpriv", package: "util-linux")) else { return }
        let sandbox = try Sandbox()
        chmod(sandbox.path("."), 0o777)
        let oracle = try Oracle(sandbox)
        _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true")
        var codes: [Int32] = []
        for limit in 1...4 {
            let go = "go-\(limit)"
            // Each its own user: the dead count until they are reaped.
            let user = "\(64200 + limit + (isQueued ? 10 : 0))"
            let holder = try sandbox.start(
                [Sandbox.binary, "acquire", "-q", "board.queue", "--"] + oracle.words + ["holder", go])
            #expect(Event.happens { oracle.names.count { $0 == "holder" } == limit })
            if !isQueued {
                try sandbox.write(go, "")
                holder.wait()
            }
            let words = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "/bin/bash", "-c"]
            let poor = try sandbox.start(words + ["ulimit -u \(limit); exec semq acquire board.queue -- /bin/true"])
            if isQueued {
                #expect(
                    Event.happens {
                        (try? sandbox.semq("status", "board.queue").out.contains("1 waiting")) == true || poor.hasEnded
                    })
                try sandbox.write(go, "")
            }
            let result = poor.wait()
            #expect(holder.wait().status == .exited(0))
            guard case .exited(let code) = result.status else {
                Issue.record("ulimit -u \(limit): \(result)")
                continue
            }
            codes.append(code)
            if code != 0 {
                #expect(result.err.contains("Resource temporarily unavailable"), "ulimit -u \(limit): \(result.err)")
            }
            if code == 74 { #expect(result.err.contains("(ulimit -u)"), "ulimit -u \(limit): \(result.err)") }
            #expect(try isFree(sandbox), "after ulimit -u \(limit)")
        }
        #expect(codes == [74, 126, 0, 0] || codes == [74, 74, 0, 0])
    }
}
