import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// A forced command, `semq agent --restrict DIR`, and clients that want more than it gives.
@Suite struct RestrictTests {
    private let sandbox: Sandbox
    /// Instead of ssh: what the forced command does, whatever the client asks for.
    private let way: String

    init() throws {
        sandbox = try Sandbox()
        for folder in ["inside", "inside/sub", "outside"] {
            try FileManager.default.createDirectory(atPath: sandbox.path(folder), withIntermediateDirectories: true)
        }
        way = try sandbox.write(
            "way", "#!/bin/sh\nexec \(Sandbox.binary) agent --restrict \(sandbox.path("inside"))\n", executable: true)
    }

    private func acquire(_ path: String) throws -> Sandbox.Result {
        try sandbox.start([Sandbox.binary, "acquire", "-q", "-n", "--rsh", way, "bench:\(path)", "--", "true"]).wait()
    }

    private var outside: [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: sandbox.path("outside"))) ?? []
    }

    @Test func queuesBelowTheFolder() throws {
        for name in ["q", "sub/q", "a.b_c-9"] {
            let result = try acquire(name)
            #expect(result.status == .exited(0), "\(result.err)")
            #expect(sandbox.exists("inside/\(name)"))
        }
    }

    @Test func doctorTellsTheFolder() throws {
        let result = try sandbox.start([Sandbox.binary, "doctor", "--rsh", way, "bench:q"]).wait()
        #expect(result.out.contains(", for queues below \(sandbox.path("inside")) only, runs as "), "\(result)")
    }

    @Test func namesThatLeadOut() throws {
        let names = [
            "../outside/q", "sub/../../outside/q", "..", ".", "sub/..", sandbox.path("outside/q"), "/etc/passwd",
            "-q", ".q", "q\nq", "q\tq", "q q", "$(touch q)", "q;q", "\u{1b}[31m",
            String(repeating: "x/", count: 300) + "q",
        ]
        for name in names {
            let result = try acquire(name)
            #expect(result.status == .exited(77), "\(name): \(result)")
            #expect(result.err.contains("this key reaches queues below one folder only"), "\(result.err)")
            #expect(!result.err.dropLast().contains { $0.isNewline || $0 == "\u{1b}" }, "\(result.err)")
        }
        #expect(outside == [])
    }

    /// What no command line can say.
    @Test(arguments: ["q%00/../../outside/q", "q%0aq"]) func bytesThatNoNameHas(_ name: String) throws {
        let client = try HandClient(sandbox, [way])
        try client.greet()
        client.send("acquire path=\(name) lease=5000 description=d pid=1 host=h user=u priority=0")
        #expect(client.says("error code="), "\(client.running.out)")
        #expect(outside == [] && !client.running.out.contains("granted"))
    }

    @Test func aMebibyteOfName() throws {
        let client = try HandClient(sandbox, [way])
        try client.greet()
        client.send("acquire path=\(String(repeating: "x", count: 1 << 20)) lease=5000")
        #expect(Event.happens { client.running.hasEnded }, "\(client.running.out.prefix(500))")
        #expect(client.running.out.contains("error code=usage") && client.running.out.utf8.count < 4096)
        let result = try acquire(String(repeating: "x", count: 60_000))
        #expect(result.status == .exited(64) || result.status == .exited(77), "\(result.status)")
        #expect(result.err.utf8.count < 1024)
    }

    @Test func links() throws {
        symlink("../outside", sandbox.path("inside/folder"))
        symlink("../outside/q", sandbox.path("inside/file"))
        let folder = try acquire("folder/q")
        #expect(folder.status == .exited(77), "\(folder)")
        #expect(folder.err.contains("folder is no folder, and this key follows no links"), "\(folder.err)")
        let file = try acquire("file")
        #expect(file.status != .exited(0), "\(file)")
        #expect(outside == [])
    }

    /// A folder that is a link at one moment and none at the next, while clients come and go.
    @Test func aLinkThatIsSwappedDuringTheCall() throws {
        let inside = sandbox.path("inside")
        let swapping = try sandbox.start([
            "/bin/sh", "-c",
            "cd \(inside); while :; do rm -rf sub; ln -s ../outside sub; rm -f sub; mkdir sub; done",
        ])
        defer {
            swapping.send(SIGKILL)
            _ = swapping.wait()
        }
        var results: Set<String> = []
        for _ in 0..<60 { results.insert("\(try acquire("sub/q").status)") }
        #expect(outside == [])
        #expect(results.count > 1, "it was swapped at all kinds of moments: \(results)")
    }

    private static let request = "acquire path=q lease=5000 description=d pid=1 host=h user=u priority=0"

    /// A folder that is made in its place.
    private func moveFolder() throws {
        #expect(try sandbox.shell("mv inside away && mkdir inside").status == .exited(0))
    }

    /// Whoever is on the host comes by the folder's name: by that one the agent comes too, though it was started before.
    @Test func aFolderThatIsMovedSinceTheAgentsStart() throws {
        let client = try HandClient(sandbox, [way])
        try client.greet()
        client.send("identify path=q")
        #expect(client.says("queue-id "), "\(client.running.out)")
        try moveFolder()
        client.send(Self.request)
        #expect(client.says("granted "), "\(client.running.out)")
        #expect(try sandbox.semq("status", "inside/q").out.contains("held"))
        #expect(try sandbox.semq("status", "away/q").out.contains("free"))
        client.send("goodbye")
        #expect(client.says("bye"))
    }

    @Test func aFolderThatIsGoneIsSaid() throws {
        let client = try HandClient(sandbox, [way])
        try client.greet()
        #expect(rename(sandbox.path("inside"), sandbox.path("away")) == 0)
        client.send(Self.request)
        #expect(client.says("error code=cannot-create"), "\(client.running.out)")
        #expect(client.running.out.contains("\(sandbox.path("inside")),"), "\(client.running.out)")
        #expect(!sandbox.exists("away/q") && !sandbox.exists("inside"))
    }

    /// A holder on the host, and a client behind it whose file is taken away; it waits until the holder has ended.
    private func strand(_ words: [String]) throws -> (holder: Running, client: HandClient) {
        let line = "trap '' TERM; echo in > in; until [ -e go ]; do sleep 0.01; done"
        let holder = try sandbox.starting("acquire", "-q", "inside/q", "--", "sh", "-c", line)
        try #require(Event.happens { sandbox.exists("in") })
        let client = try HandClient(sandbox, words)
        try client.greet()
        client.send(Self.request)
        #expect(Event.happens { (try? sandbox.semq("status", "inside/q").out.contains("1 waiting")) == true })
        unlink(sandbox.path("inside/q"))
        #expect(Event.happens { client.running.out.contains("deleted%20or%20replaced") }, "\(client.running.out)")
        return (holder, client)
    }

    @Test func aFolderThatIsMovedWhileFormerHoldersAreWaitedFor() throws {
        let (holder, client) = try strand([way])
        try moveFolder()
        try sandbox.write("go", "")
        #expect(client.says("error code="), "\(client.running.out)")
        #expect(client.line("error ")?.contains("its%20folder%20was%20moved") == true, "\(client.running.out)")
        #expect(!client.running.out.contains("granted"), "\(client.running.out)")
        #expect(!sandbox.exists("away/q") && !sandbox.exists("inside/q"))
        holder.wait()
    }

    /// By a name with a link in it, and not from the root: the folder is in place all the same.
    @Test func aFolderThatIsReachedByALink() throws {
        symlink("inside", sandbox.path("link"))
        let line = "cd \(sandbox.folder); exec \(Sandbox.binary) agent --restrict link"
        let (holder, client) = try strand(["sh", "-c", line])
        try sandbox.write("go", "")
        // At the new file: the mark beside it says that remote holders may be left.
        #expect(client.says("holds-off "), "\(client.running.out)")
        #expect(client.line("error ") == nil && sandbox.exists("inside/q"), "\(client.running.out)")
        holder.wait()
    }

    /// What stands beside a queue and tells of it: made by such a key, it would hold up the queue's first turn.
    @Test(arguments: ["new.queue.remote", "sub/new.queue.history", "new.queue.history.1"])
    func whatStandsBesideAQueueIsNone(_ name: String) throws {
        let result = try acquire(name)
        #expect(result.status == .exited(77), "\(result)")
        #expect(result.err.contains("\(name): this key takes no queue whose name ends in ."), "\(result.err)")
        #expect(!sandbox.exists("inside/\(name)"))
        let status = try sandbox.start([Sandbox.binary, "status", "--rsh", way, "bench:\(name)"]).wait()
        #expect(status.status == .exited(77), "\(status)")
    }

    /// All that SEMQ_HELD says can be seen by `semq status`, which such a key may ask for.
    @Test func aPermitAroundThatIsClaimed() throws {
        let line = "echo $SEMQ_HELD > .held; mv .held held; exec sleep 60"
        let holder = try sandbox.starting("acquire", "-q", "inside/q", "--", "sh", "-c", line)
        try #require(Event.happens { sandbox.exists("held") })
        let held = sandbox.lines("held").joined().replacing(" ", with: "%20")
        let client = try HandClient(sandbox, [way])
        try client.greet()
        client.send("acquire path=q lease=5000 description=d pid=1 host=h user=u priority=0 limit=0 held=\(held)")
        #expect(client.says("error code=permission"), "\(client.running.out)")
        #expect(!client.running.out.contains("granted"))
        holder.send(SIGTERM)
        holder.wait()
    }

    @Test func aPermitAroundOfAnOlderOne() throws {
        let older = try Sandbox.oldBinary()
        let line = "echo $SEMQ_HELD > .held; mv .held held; exec sleep 60"
        let holder = try sandbox.start([older, "acquire", "-q", "inside/q", "--", "sh", "-c", line])
        try #require(Event.happens { sandbox.exists("held") })
        let held = sandbox.lines("held").joined().replacing(" ", with: "%20")
        for (words, answer) in [([way], "error code=permission"), ([Sandbox.binary, "agent"], "granted")] {
            let client = try HandClient(sandbox, words, named: answer.prefix(5) + "")
            try client.greet()
            let path = words == [way] ? "q" : "inside/q"
            client.send(
                "acquire path=\(path) lease=5000 description=d pid=1 host=h user=u priority=0 limit=0 held=\(held)")
            #expect(client.says(answer), "\(client.running.out)")
            client.send("goodbye")
        }
        holder.send(SIGTERM)
        holder.wait()
    }

    /// What a client may have sent along (AcceptEnv), and what sshd tells of it.
    @Test func theEnvironmentCountsForNothing() throws {
        let bait = [
            "SSH_ORIGINAL_COMMAND=semq agent", "SEMQ_ON_BEHALF=1 root root", "SEMQ_RSH=touch",
            "SEMQ_HELD=\(sandbox.path("outside/q"))", "HOME=\(sandbox.path("outside"))", "PWD=/", "TMPDIR=/nowhere",
        ]
        let client = try HandClient(sandbox, ["env"] + bait + [way])
        try client.greet()
        client.send("acquire path=../outside/q lease=5000 description=d pid=1 host=h user=u priority=0")
        #expect(client.says("error code=permission"), "\(client.running.out)")
        client.send("acquire path=q lease=5000 description=d pid=1 host=h user=u priority=0")
        #expect(client.says("granted "), "\(client.running.out)")
        client.send("goodbye")
        #expect(client.says("bye"))
        #expect(sandbox.exists("inside/q") && outside == [])
    }
}
