import Foundation
import SemQueueTestSupport
import Testing

/// `semq history` and `semq doctor`.
@Suite struct HistoryTests {
    private func events(_ sandbox: Sandbox) throws -> [[String: Any]] {
        try sandbox.semq("history", "--json", "q").out.split(separator: "\n").map {
            try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }

    @Test func everythingThatHappensIsKeptAsALineOfJSON() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("set", "q", "--concurrency", "2")
        _ = try sandbox.semq("acquire", "-q", "-m", "one", "q", "--", "true")
        _ = try sandbox.semq("set", "q", "--pause", "lunch")
        _ = try sandbox.semq("set", "q", "--resume")
        let holder = try sandbox.holding("q", as: "two")
        _ = try sandbox.semq("release", "q", "--ticket", "2", "--reason", "enough")
        holder.wait()
        let all = try events(sandbox)
        #expect(
            all.compactMap { $0["event"] as? String }
                == ["concurrency", "granted", "released", "paused", "resumed", "granted", "removed", "released"])
        #expect(all.allSatisfy { ($0["time"] as? String)?.hasSuffix("Z") == true })
        #expect(all.compactMap { $0["time"] as? String } == all.compactMap { $0["time"] as? String }.sorted())
        #expect(all[0]["concurrency"] as? Int == 2)
        #expect(all[1]["description"] as? String == "one" && all[1]["ticket"] as? Int == 1)
        #expect(all[1]["token"] as? Int == all[2]["token"] as? Int && all[1]["slot"] as? Int == 0)
        #expect(all[3]["reason"] as? String == "lunch")
        #expect(all[6]["reason"] as? String == "enough" && all[6]["ticket"] as? Int == 2)

        let text = try sandbox.semq("history", "q").out.split(separator: "\n").map(String.init)
        try #require(text.count == all.count)
        #expect(text[0].wholeMatch(of: /\S+Z  concurrency to 2 by \S+@\S+/) != nil)
        #expect(text[1].wholeMatch(of: /\S+Z  granted     #1 \S+@\S+: one/) != nil)
        #expect(text[3].wholeMatch(of: /\S+Z  paused      by \S+@\S+: lunch/) != nil)
        #expect(text[6].wholeMatch(of: /\S+Z  removed     #2 by \S+@\S+: enough/) != nil)
    }

    @Test func aHolderThatVanishedIsToldByWhoeverComesNext() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-q", "-m", "vanishing", "q")
        holder.wait()
        try sandbox.gate("input")
        let hold = try sandbox.startingShell("exec semq acquire -q -m vanished q <> input")
        #expect(Event.happens { hold.out.hasSuffix("\n") })
        hold.send(9)
        hold.wait()
        _ = try sandbox.semq("acquire", "-q", "q", "--", "true")
        let lost = try events(sandbox).filter { $0["event"] as? String == "lost" }
        #expect(lost.compactMap { $0["description"] as? String } == ["vanished"])
    }

    /// A script on the command line would push out what everybody else has done.
    @Test func aLongDescriptionIsCut() throws {
        let sandbox = try Sandbox()
        let long = String(repeating: "d", count: 100_000)
        _ = try sandbox.semq("acquire", "-q", "-m", long, "q", "--", "true")
        _ = try sandbox.semq("set", "q", "--pause", long)
        #expect(sandbox.read("q.history").utf8.count < 5000)
        let texts = try events(sandbox).map { ($0["description"] ?? $0["reason"]) as? String }
        #expect(texts.count == 3 && texts.allSatisfy { $0?.count == 1001 && $0?.hasSuffix("d…") == true })
    }

    @Test func itsSizeIsBounded() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "q", "--", "true")
        let line = #"{"time": "2026-01-01T00:00:00.000Z", "event": "granted", "description": "old"}"# + "\n"
        for _ in 0..<3 {
            try sandbox.write("q.history", String(repeating: line, count: (1 << 20) / line.utf8.count + 1))
            _ = try sandbox.semq("acquire", "-q", "-m", "new", "q", "--", "true")
        }
        #expect(try #require(sandbox.bytes("q.history")).count < 4096)
        #expect(try #require(sandbox.bytes("q.history.1")).count < (1 << 20) + 4096)
        let files = try FileManager.default.contentsOfDirectory(atPath: sandbox.folder).filter { !$0.hasPrefix(".") }
        #expect(files.sorted() == ["q", "q.history", "q.history.1"])
        let lines = try sandbox.semq("history", "q").out.split(separator: "\n")
        #expect(lines.first?.contains("old") == true && lines.last?.contains("new") == true, "oldest first")
    }

    @Test(arguments: [
        ("mkdir q.history", "it is no regular file", "Is a directory"),
        (
            "ln -s /tmp q.history", "it is a symbolic link, and links are not followed",
            "it is a symbolic link, and links are not followed"
        ),
    ])
    func aHistoryThatCannotBeWrittenStopsNothingAndIsTold(_ make: String, _ read: String, _ write: String) throws {
        let sandbox = try Sandbox()
        _ = try sandbox.shell(make)
        #expect(try sandbox.semq("acquire", "-q", "q", "--", "echo", "ran").out == "ran\n")
        #expect(try sandbox.isFree("q"))
        let said = "semq: q.history: what happens here can't be read: \(read)\n"
        #expect(try sandbox.semq("history", "q") == .init(status: .exited(0), out: "", err: said))
        let doctor = try sandbox.semq("doctor", "q")
        #expect(doctor.status == .exited(0))
        #expect(
            doctor.out.contains("\nnote  history      q.history: what happens here can't be written down: \(write)\n"),
            "\(doctor.out)")
    }

    @Test func damagedLinesAreShownHarmlessly() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "q", "--", "true")
        try sandbox.write("q.history", "{\"event\": \"gra\nnonsense \u{1b}[2J\n")
        let result = try sandbox.semq("history", "q")
        let lines = Set(result.out.split(separator: "\n").map(String.init))
        #expect(lines == ["(unreadable)  {\"event\": \"gra", "(unreadable)  nonsense \\u{1b}[2J"])
    }

    // MARK: doctor

    private func doctor(_ sandbox: Sandbox, _ words: String...) throws -> (
        status: Sandbox.Status, marks: [String: String]
    ) {
        let result = try sandbox.start([Sandbox.binary, "doctor"] + words).wait()
        let lines = result.out.split(separator: "\n").map { $0.split(separator: "  ", omittingEmptySubsequences: true) }
        let marks = lines.filter { $0.count > 1 }.map {
            ($0[1].trimmingCharacters(in: .whitespaces), $0[0].trimmingCharacters(in: .whitespaces))
        }
        return (result.status, Dictionary(marks) { first, _ in first })
    }

    @Test func doctorFindsAGoodQueueGood() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "q", "--", "true")
        let (status, marks) = try doctor(sandbox, "q")
        #expect(status == .exited(0))
        #expect(marks["file"] == "ok" && marks["locks"] == "ok" && marks["records"] == "ok" && marks["mutex"] == "ok")
        #expect(try doctor(sandbox).status == .exited(0), "the folder itself")
        let words = [Sandbox.binary, "doctor"]
        #expect(try sandbox.start(words + [sandbox.folder]).wait() == sandbox.start(words).wait())
    }

    @Test func doctorNamesWhatIsWrongAndExits65() throws {
        let sandbox = try Sandbox()
        try sandbox.write("text", "no queue\n")
        #expect(try doctor(sandbox, "text").marks["records"] == "BAD")
        #expect(try doctor(sandbox, "text").status == .exited(65))
        #expect(try sandbox.semq("doctor", "text").out.contains("; move it away or name another file;"))
        // What can't be looked at is not called good.
        #expect(try doctor(sandbox, "text").marks["mutex"] == nil)
        #expect(try sandbox.shell("mkfifo fifo").status == .exited(0))
        #expect(try doctor(sandbox, "fifo").marks == ["file": "BAD"])
        let missing = try doctor(sandbox, "none/q")
        #expect(missing.status == .exited(65) && missing.marks["file"] == "BAD")
        #expect(try doctor(sandbox, "/dev/null").status == .exited(65))
        let deleted = try sandbox.shell("mkdir sub && cd sub && rmdir ../sub && semq doctor")
        #expect(deleted.status == .exited(65))
        #expect(deleted.out.contains("BAD   folder       .: has been deleted; no queue can be made here\n"))
    }
}
