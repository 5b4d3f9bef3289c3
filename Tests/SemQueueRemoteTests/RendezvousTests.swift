import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Where a client finds its agent again, and who else may try to be found there. By real agents, the client by hand.
@Suite(.serialized) struct RendezvousTests {
    /// Not in /tmp, which some of these take away.
    private let sandbox: Sandbox
    private let queue: String
    private static let stranger = [
        "setpriv", "--reuid", "64123", "--regid", "64123", "--clear-groups",
    ]

    init() throws {
        sandbox = try Sandbox(in: "/var/tmp")
        queue = sandbox.path("board.queue")
    }

    private func canRun() -> Bool {
        Machine.has(.root, .program("setpriv", package: "util-linux"), .program("python3", package: "python3"))
    }

    // MARK: agents and clients

    /// An agent that holds for a client, who knows it.
    private struct Held {
        let client: HandClient
        let agent: String
        let secret: String

        /// In the folder; as older agents have it, the whole name.
        var socket: String { String(agent.split(separator: "-").last!) }
    }

    private func holding(_ name: String, _ words: [String] = [], lease: Int = 20) throws -> Held {
        let client = try HandClient(sandbox, words + [Sandbox.binary, "agent"], named: name)
        try client.greet()
        client.send(
            "acquire path=\(queue) lease=\(lease * 1000) priority=0 description=d pid=1 host=h user=u concurrency=9")
        try #require(client.says("granted "), "\(client.running.out) \(client.running.err)")
        return Held(
            client: client, agent: try #require(client.value("agent", of: "accepted")),
            secret: try #require(client.value("secret", of: "accepted")))
    }

    /// Goes on by a new agent.
    private func resuming(_ held: Held, as agent: String? = nil, _ name: String, _ words: [String] = []) throws
        -> HandClient
    {
        let client = try HandClient(sandbox, words + [Sandbox.binary, "agent"], named: name)
        try client.greet()
        client.send("resume agent=\(agent ?? held.agent) secret=\(held.secret) number=1")
        return client
    }

    private func path(_ held: Held) -> String { "/tmp/semq-\(geteuid())/\(held.socket)" }

    // MARK: another user

    /// Listens under every name by which it might be taken for an agent, and keeps what it hears.
    private func impostor(_ names: [String]) throws -> Running {
        let script = """
            import os, selectors, socket, sys
            selector = selectors.DefaultSelector()
            for name in sys.argv[1:]:
                listener = socket.socket(socket.AF_UNIX); listener.bind("\\0semq-" + name); listener.listen(8)
                selector.register(listener, selectors.EVENT_READ)
            print("listens", flush=True)
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        visitor, _ = key.fileobj.accept(); selector.register(visitor, selectors.EVENT_READ, 1)
                        continue
                    heard = key.fileobj.recv(4096)
                    if heard: print("heard", heard, flush=True); key.fileobj.send(b"resumed number=1\\n")
                    else: selector.unregister(key.fileobj)
            """
        let running = try sandbox.start(Self.stranger + ["/usr/bin/python3", "-c", script] + names)
        try #require(Event.happens { running.out.hasPrefix("listens") }, "\(running.err)")
        return running
    }

    /// Also by the name of an older agent, which is an abstract one.
    @Test func anImpostorHearsNothing() throws {
        guard canRun() else { return }
        let held = try holding("held")
        held.client.running.send(SIGKILL)
        _ = held.client.running.wait()
        let impostor = try impostor(Array(Set([held.agent, held.socket])))
        defer { impostor.send(SIGKILL) }
        for (index, name) in [held.agent, held.socket].enumerated() {
            let client = try resuming(held, as: name, "resuming\(index)")
            #expect(client.says("error ") && client.line("resumed") == nil, "\(client.running.out)")
            #expect(client.value("code", of: "error") == "gone", "\(client.running.out)")
        }
        #expect(impostor.out == "listens\n")
    }

    @Test func nobodyElseComesIn() throws {
        guard canRun() else { return }
        let held = try holding("held")
        let knock = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])"
        let result = try sandbox.start(Self.stranger + ["/usr/bin/python3", "-c", knock, path(held)]).wait()
        #expect(result.err.contains("PermissionError"), "\(result)")
        // By cat: Foundation takes the first page of such a file for all of it.
        let sockets = try sandbox.shell("cat /proc/net/unix").out
        #expect(!sockets.contains("@semq-\(held.socket)"))
    }

    // MARK: where there is no such folder

    /// What was done to the places, as seen by the agents alone.
    struct Places: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let shell: String
        let name: String

        init(_ description: String, _ shell: String, _ name: String) {
            (testDescription, self.shell, self.name) = (description, shell, name)
        }

        private static func readOnly(_ path: String) -> String {
            "mount --bind \(path) \(path) && mount -o remount,bind,ro \(path)"
        }

        private static func taken(_ mode: String) -> String {
            "mkdir -p $0 /tmp/semq-0 && chown 64123 $0 && chmod \(mode) $0 && mount --bind $0 /tmp/semq-0"
        }

        static let all = [
            Places("taken", taken("700"), "tmp-[0-9a-f]{16}-[0-9a-f]{32}"),
            Places(
                "open", "mkdir -p $0 /tmp/semq-0 && chmod 710 $0 && mount --bind $0 /tmp/semq-0",
                "tmp-[0-9a-f]{16}-[0-9a-f]{32}"),
            Places("no /tmp", readOnly("/tmp"), "shm-[0-9a-f]{32}"),
            Places("none", readOnly("/tmp") + " && " + readOnly("/dev/shm"), "[0-9a-f]{32}"),
        ]
    }

    @Test(arguments: Places.all) func anotherPlace(_ places: Places) throws {
        guard canRun() else { return }
        let words = ["unshare", "--mount", "sh", "-c", "\(places.shell) && exec \"$@\"", sandbox.path("other")]
        let held = try holding("held", words)
        #expect(try held.agent.wholeMatch(of: Regex(places.name)) != nil, "\(held.agent)")
        held.client.close()
        let next = try resuming(held, "next", ["nsenter", "--mount", "--target", "\(held.client.running.pid)"])
        #expect(next.says("resumed number=1"), "\(next.running.out)")
        next.send("goodbye")
        #expect(next.says("bye"))
        #expect(Event.happens { held.client.running.hasEnded })
        for place in ["/tmp", "/dev/shm"] {
            let left = FileManager.default.enumerator(atPath: place)?.compactMap { $0 as? String }
            #expect(left?.contains { $0.hasPrefix("semq-0") && $0.contains(held.socket) } == false)
            if let own = held.agent.split(separator: "-").dropFirst().dropLast().first {
                #expect(!FileManager.default.fileExists(atPath: "\(place)/semq-0-\(own)"))
            }
        }
    }

    // MARK: what is left

    /// Of one that was killed, until the next; of one that lives, as long as it does.
    @Test func deadSocketsAreRemoved() throws {
        let killed = try holding("killed")
        let alive = try holding("alive")
        #expect(access(path(killed), F_OK) == 0 && access(path(alive), F_OK) == 0)
        killed.client.running.send(SIGKILL)
        _ = killed.client.running.wait()
        let next = try holding("next")
        #expect(access(path(killed), F_OK) != 0 && access(path(alive), F_OK) == 0)
        for held in [alive, next] {
            held.client.send("goodbye")
            #expect(held.client.says("bye"))
            #expect(Event.happens { access(path(held), F_OK) != 0 })
        }
    }

    /// Taken away while its agent lives, it is made anew, and is that agent's.
    @Test func aSocketThatIsTakenAway() throws {
        let held = try holding("held")
        for round in 1...3 {
            unlink(path(held))
            #expect(Event.happens { access(path(held), F_OK) == 0 }, "\(round)")
        }
        held.client.close()
        unlink(path(held))
        let next = try resuming(held, "next")
        #expect(next.says("resumed number=1"), "\(next.running.out)")
        next.send("goodbye")
        #expect(next.says("bye"))
        #expect(Event.happens { access(path(held), F_OK) != 0 && held.client.running.hasEnded })
    }

    // MARK: many

    private func ticks(_ pid: pid_t) -> Int {
        let text = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        return fields.count > 13 ? (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0) : 0
    }

    /// Of the same user, who knock and say nothing, and come again and again.
    @Test func aCrowdThatSaysNothing() throws {
        guard canRun() else { return }
        let held = try holding("held", lease: 30)
        let script = """
            import socket, sys, time
            at = sys.argv[1] if sys.argv[1][0] == "/" else "\\0" + sys.argv[1]
            crowd = []
            def knock():
                visitor = socket.socket(socket.AF_UNIX); visitor.settimeout(0)
                try: visitor.connect(at)
                except OSError: return False
                crowd.append(visitor); return True
            while len(crowd) < 40 and knock(): pass
            print("knocked", len(crowd), flush=True)
            while True: time.sleep(0.1); knock()
            """
        let at = held.agent.contains("-") ? path(held) : "semq-\(held.agent)"
        let crowd = try sandbox.start(["/usr/bin/python3", "-c", script, at])
        defer { crowd.send(SIGKILL) }
        #expect(Event.happens { crowd.out.hasPrefix("knocked") }, "\(crowd.err)")
        let (before, begun) = (ticks(held.client.running.pid), Date())
        held.client.close()
        let next = try resuming(held, "next")
        #expect(next.says("resumed number=1", within: 8), "\(next.running.out)")
        _ = Event.happens(within: 2) { false }
        let used = Double(ticks(held.client.running.pid) - before) / Double(sysconf(Int32(_SC_CLK_TCK)))
        #expect(used < 0.3 * Date().timeIntervalSince(begun), "\(used) s of processor time")
        next.send("goodbye")
        #expect(next.says("bye"), "\(next.running.out)")
    }
}
