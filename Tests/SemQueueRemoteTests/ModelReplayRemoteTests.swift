import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// The counterexamples of docs/model.md that are about leases, replayed: a `semq` in which the fault is put back shows what
/// is wrong, the real one doesn't. The host is this machine, behind a program instead of ssh that starts its agent.
@Suite struct ModelReplayRemoteTests {
    private static let lease = 5

    /// A command that stays until it is let go or killed, whoever asks it to end.
    private static let stubborn = """
        trap '' TERM; echo $$ > pid-first; touch in-first; until [ -e go-first ]; do sleep 0.01; done
        """

    /// Holds the queue under a lease; the command is the shell's.
    private func holding(_ replay: Replay, _ way: String, _ line: String = stubborn) throws -> Running {
        let words = ["acquire", "--rsh", way, "--no-bootstrap", "--lease", "\(Self.lease)"]
        let holder = try replay.start(
            [replay.binary] + words + ["bench:" + replay.sandbox.path("board.queue"), "--", "sh", "-c", line])
        try #require(Event.happens { replay.isIn("first") }, "\(holder.err)")
        return holder
    }

    /// Waits behind it on the host, and sees as it comes in whether its command is there still.
    private func next(_ replay: Replay) throws -> Running {
        let line = "if kill -0 $(cat pid-first) 2>/dev/null; then touch two; fi; touch in-next"
        let next = try replay.start([replay.binary, "acquire", "-q", "board.queue", "--", "sh", "-c", line])
        try #require(
            Event.happens { (try? replay.semq("status", "board.queue").out.contains("1 waiting")) == true },
            "\(next.err)")
        return next
    }

    /// Whether the next one came in beside the command.
    private func areTwo(_ replay: Replay, _ holder: Running, _ next: Running) throws -> Bool {
        try #require(Event.happens(within: 30) { next.hasEnded }, "\(next.err)")
        try #require(replay.isIn("next"), "\(next.err)")
        try replay.letGo("first")
        holder.wait()
        return replay.sandbox.exists("two")
    }

    // MARK: after an agent's death

    @Test func aTombstoneThatIsntAskedFor() throws {
        try Replay.check("kept") { try agentDies($0) }
    }

    @Test func aClientThatEndsItsCommandLate() throws {
        try Replay.check("late") { try agentDies($0) }
    }

    /// The host can't be reached any more either.
    private func agentDies(_ replay: Replay) throws -> Bool {
        let bench = try Bench(replay.sandbox)
        let holder = try holding(replay, bench.rsh)
        let next = try next(replay)
        try bench.fails("no route to host")
        bench.cut()
        return try areTwo(replay, holder, next)
    }

    /// What the agent has written last was lost, and then it dies.
    @Test func aTombstoneByTheRecordedEnd() throws {
        try Replay.check("stamp") { replay in
            let bench = try Bench(replay.sandbox)
            let holder = try holding(replay, bench.rsh)
            let record = try firstSlot(replay)
            let next = try next(replay)
            try #require(!Event.happens(within: 0.8 * Double(Self.lease)) { holder.hasEnded }, "\(holder.err)")
            // A later one is a way to it, where the machine was busy.
            let agent = try #require(bench.connections.first)
            try #require(Processes.name(agent) == "semq")
            kill(agent, SIGSTOP)
            try #require(Event.happens { Machine.state(of: agent) == "T" })
            try #require(firstSlot(replay) != record, "it was renewed meanwhile")
            try record.write(to: URL(fileURLWithPath: replay.sandbox.path("record")))
            let put = "dd if=record of=board.queue bs=512 seek=32 conv=notrunc status=none"
            try #require(replay.sandbox.shell(put).status == .exited(0))
            try bench.fails("no route to host")
            bench.cut()
            return try areTwo(replay, holder, next)
        }
    }

    /// The line of the first slot.
    private func firstSlot(_ replay: Replay) throws -> Data {
        let file = try #require(FileHandle(forReadingAtPath: replay.sandbox.path("board.queue")))
        try file.seek(toOffset: 32 * 512)
        return try #require(try file.read(upToCount: 512))
    }

    // MARK: somebody else in the agent's place

    /// Listens by the name of an agent as soon as that is dead, as another user, and answers as if nothing had happened.
    private static let impostor = """
        import os, socket, sys, time
        listener = socket.socket(socket.AF_UNIX)
        print("stands by", flush=True)
        while True:
            try: listener.bind("\\0" + sys.argv[1]); break
            except OSError: time.sleep(0.005)
        listener.listen(8)
        print("listens", flush=True)
        while True:
            visitor, _ = listener.accept()
            for line in visitor.makefile():
                verb, _, rest = line.strip().partition(" ")
                number = dict(w.split("=", 1) for w in rest.split() if "=" in w).get("number", "0")
                print("heard", verb, flush=True)
                answer = {"resume": "resumed", "beat": "beat"}.get(verb)
                if answer: visitor.sendall(f"{answer} number={number}\\n".encode())
        """

    @Test func whoeverHasTheAgentsName() throws {
        guard Machine.has(.root, .program("setpriv", package: "util-linux"), .program("python3", package: "python3"))
        else { return }
        // Where no folder can be had that is closed to others, agents listen by names that all can take.
        let noFolders = ["/tmp", "/dev/shm"].map { "mount --bind \($0) \($0) && mount -o remount,bind,ro \($0)" }
        try Replay.check("A5", in: "/var/tmp") { replay in
            let way = try replay.sandbox.write(
                "way",
                """
                #!/bin/bash
                exec unshare --mount sh -c '\(noFolders.joined(separator: " && ")) && echo $$ >> "$0" && exec bash -c "$1"' \\
                    '\(replay.sandbox.path("agents"))' "${@: -1}"

                """, executable: true)
            let holder = try holding(replay, way)
            // A later one is a way to it, where the machine was busy.
            let agent = try #require(replay.sandbox.lines("agents").first.flatMap { pid_t($0) })
            let listens = try listensBy(replay, agent)
            let name = try #require(listens, "\(Processes.name(agent)) \(holder.err)")
            let next = try next(replay)
            let stranger = ["setpriv", "--reuid", "64123", "--regid", "64123", "--clear-groups"]
            let impostor = try replay.start(stranger + ["/usr/bin/python3", "-c", Self.impostor, name])
            defer { impostor.send(SIGKILL) }
            try #require(Event.happens { impostor.out.hasPrefix("stands by") }, "\(impostor.err)")
            kill(agent, SIGKILL)
            try #require(Event.happens { impostor.out.contains("listens") }, "\(impostor.err)")
            return try areTwo(replay, holder, next)
        }
    }

    /// The abstract name of a process's socket, as everybody can read it.
    private func listensBy(_ replay: Replay, _ pid: pid_t) throws -> String? {
        let folder = "/proc/\(pid)/fd"
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let sockets = files.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)") }
        // By cat: Foundation takes the first page of such a file for all of it.
        let table = try replay.sandbox.shell("cat /proc/net/unix").out
        for line in table.split(separator: "\n") {
            let fields: [Substring] = line.split(separator: " ")
            guard fields.count == 8, fields[7].hasPrefix("@semq-"), sockets.contains("socket:[\(fields[6])]") else {
                continue
            }
            return String(fields[7].dropFirst())
        }
        return nil
    }

    // MARK: clients by hand

    private func client(_ replay: Replay, _ name: String) throws -> HandClient {
        let client = try HandClient(replay.sandbox, replay.words + ["agent"], named: name)
        try client.greet()
        return client
    }

    private func asks(_ client: HandClient, _ replay: Replay) {
        let party = "description=d pid=1 host=h user=u"
        client.send("acquire path=\(replay.sandbox.path("board.queue")) lease=\(Self.lease * 1000) priority=0 \(party)")
    }

    @Test func aSupersededConnectionRenews() throws {
        try Replay.check("old-link") { replay in
            let old = try client(replay, "old")
            asks(old, replay)
            try #require(old.says("granted "), "\(old.running.out) \(old.running.err)")
            let new = try client(replay, "new")
            let agent = try #require(old.value("agent", of: "accepted"))
            let secret = try #require(old.value("secret", of: "accepted"))
            new.send("resume agent=\(agent) secret=\(secret) number=1")
            try #require(new.says("resumed number=1"), "\(new.running.out)")
            // From now on the old one alone says anything, for longer than a lease lasts.
            let next = try replay.start([replay.binary, "acquire", "-q", "-w", "8", "board.queue", "--", "true"])
            var number = 1
            let hasEnded = Event.happens(within: 20) {
                number += 1
                old.send("beat number=\(number)")
                return next.hasEnded || Event.happens(within: 0.2) { next.hasEnded }
            }
            try #require(hasEnded, "\(next.err)")
            return next.wait().status == .exited(75)
        }
    }

    @Test func anAnswerToAnEarlierQuestion() throws {
        try Replay.check("take") { replay in
            let first = try replay.holding("first")
            let client = try client(replay, "client")
            asks(client, replay)
            try #require(client.says("joined "), "\(client.running.out)")
            try replay.letGo("first")
            first.wait()
            try #require(client.says("ready number=1"), "\(client.running.out)")
            try #require(replay.semq("set", "board.queue", "--pause", "maintenance").status == .exited(0))
            client.send("take number=1")
            // Not before it was heard: the slot that it was asked about is given back.
            try #require(
                Event.happens {
                    (try? replay.semq("status", "--json", "board.queue").out.contains(#""holders": []"#)) == true
                })
            // It stays in line, and is asked once more.
            try #require(replay.semq("set", "board.queue", "--resume").status == .exited(0))
            try #require(client.says("ready number=2"), "\(client.running.out)")
            // Without an answer it is passed.
            let next = try replay.start([replay.binary, "acquire", "-q", "board.queue", "--", "true"])
            try #require(Event.happens { next.hasEnded || client.line("granted ") != nil })
            let isGranted = client.line("granted ") != nil
            client.send("goodbye")
            next.wait()
            return isGranted
        }
    }
}
