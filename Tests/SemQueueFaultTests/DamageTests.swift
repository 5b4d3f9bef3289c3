import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// The file is damaged while one holds and others wait. The kernel's locks are the truth: the holder
/// stays valid, the others come in one at a time and in their order.
@Suite struct DamageTests {
    static let damages = [
        "garbage": "head -c $(stat -c %s board.queue) /dev/urandom | dd of=board.queue conv=notrunc status=none",
        "much garbage": "head -c 3000000 /dev/urandom | dd of=board.queue conv=notrunc status=none",
        "emptied": ": > board.queue",
        "cut in a line": "truncate -s 700 board.queue",
        "cut to the header": "truncate -s 1024 board.queue",
        "one line of 1 MB": "head -c 1000000 /dev/zero | tr '\\0' x > board.queue",
        "invalid UTF-8":
            "yes $'\\xff\\xfe\\xc3\\x28\\xe2\\x82' | head -c 20000 | dd of=board.queue conv=notrunc status=none",
        "no header": "head -c 1024 /dev/zero | dd of=board.queue conv=notrunc status=none",
        "one header copy": "head -c 512 /dev/zero | dd of=board.queue conv=notrunc status=none",
        "JSON": "echo '{\"queue\": []}' > board.queue",
        "zeros": "head -c 600000 /dev/zero | dd of=board.queue conv=notrunc status=none",
    ]

    @Test(arguments: damages.keys.sorted()) func holdersStayValidAndWaitersGetIn(_ damage: String) throws {
        let sandbox = try Sandbox()
        let oracle = try Oracle(sandbox)
        let holder = try start(sandbox, oracle, "holder", "go")
        #expect(Event.happens { oracle.names == ["holder"] })
        let waiters = try (1...3).map { number in
            let waiter = try start(sandbox, oracle, "\(number)", "")
            #expect(Event.happens { waiting(sandbox) == number })
            return waiter
        }
        #expect(try sandbox.shell(try #require(Self.damages[damage])).status == .exited(0))

        // Looking changes nothing, and nobody slips in.
        let status = try sandbox.semq("status", "board.queue")
        #expect(status.status == .exited(0))
        #expect(status.out.hasPrefix("board.queue: held, 3 waiting\n"), "\(status.out)")
        #expect(status.out.isHarmless)
        let busy = try sandbox.semq("acquire", "-n", "board.queue", "--", "true")
        #expect(busy.status == .exited(75))
        #expect(busy.err.contains("semq: board.queue: busy: held by "))
        #expect(!busy.err.contains("(pid 0)") && !busy.err.contains("d0"), "no made-up owner or time: \(busy.err)")
        // Somebody who comes now stands behind those who were there before.
        let late = try start(sandbox, oracle, "late", "")
        #expect(Event.happens { waiting(sandbox) == 4 })
        #expect(oracle.names == ["holder"])

        try sandbox.write("go", "")
        #expect(holder.wait().status == .exited(0))
        for waiter in waiters + [late] { #expect(waiter.wait().status == .exited(0)) }
        #expect(oracle.names == ["holder", "1", "2", "3", "late"])
        #expect(oracle.complaint == nil)
        #expect(try sandbox.semq("acquire", "-q", "-n", "board.queue", "--", "true").status == .exited(0))
        let after = try sandbox.semq("status", "--json", "board.queue")
        #expect(after.out.hasSuffix("\"holders\": [], \"waiting\": []}\n"), "\(after.out)")
    }

    /// Who holds and who waits write their records again, not onto those of others who came meanwhile.
    /// Within a second its record is written again.
    @Test func aHolderWhoseRecordIsGoneIsFoundByItsTicket() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting("acquire", "-q", "board.queue", "--", "sleep", "60")
        #expect(Event.happens { (try? sandbox.semq("status", "board.queue").out.contains("sleep 60")) == true })
        let damage = "yes x | head -c 512 | dd of=board.queue bs=512 seek=32 conv=notrunc status=none"
        let release = "semq release board.queue --ticket 1 --reason night"
        let result = try sandbox.shell("\(damage); \(release)")
        #expect(result.status == .exited(0), "\(result.err)")
        #expect(holder.wait().status == .exited(76))
    }

    /// The third one after the damage has no more to do with it than the others.
    @Test func aReleaseOfBeforeTheDamageEndsNobodyAfterIt() throws {
        let sandbox = try Sandbox()
        for _ in 1...2 { _ = try sandbox.semq("acquire", "-q", "board.queue", "--", "true") }
        let ended = try sandbox.starting("acquire", "-q", "board.queue", "--", "sleep", "60")
        #expect(Event.happens { status(sandbox).contains("sleep 60") })
        let release = try sandbox.semq("release", "board.queue", "--ticket", "3", "--reason", "night")
        #expect(release.status == .exited(0), "\(release.err)")
        #expect(ended.wait().status == .exited(76))
        #expect(try sandbox.shell(try #require(Self.damages["no header"])).status == .exited(0))
        let numbers = try (1...3).map { _ in
            // For longer than it takes to hear of a release.
            let after = try sandbox.shell("semq acquire -q board.queue -- sh -c 'sleep 1.2; echo $SEMQ_TICKET'")
            #expect(after.status == .exited(0), "\(after.err)")
            return Int(after.out.dropLast()) ?? 0
        }
        #expect(numbers.allSatisfy { $0 > 1000 }, "nobody takes them for those of before: \(numbers)")
    }

    @Test func recordsAreWrittenAgain() throws {
        let sandbox = try Sandbox()
        let names = ["holder", "head", "second"]
        let members = try names.map { name in
            let member = try sandbox.starting("acquire", "-q", "-m", name, "board.queue", "--", "sleep", "600")
            #expect(Event.happens { status(sandbox).contains(name) })
            return member
        }
        #expect(try sandbox.shell(try #require(Self.damages["emptied"])).status == .exited(0))
        let late = try sandbox.starting("acquire", "-q", "-m", "late", "board.queue", "--", "true")
        func shown() -> [String] {
            status(sandbox).split(separator: "\n").dropFirst().compactMap {
                $0.split(separator: " ").last.map(String.init)
            }
        }
        #expect(Event.happens { shown().filter { $0 != "N" } == ["WHAT"] + names + ["late"] }, "\(status(sandbox))")
        for member in members.reversed() { member.send(SIGTERM) }
        #expect(late.wait().status == .exited(0))
    }

    /// How many may hold is not known any more: one at a time, until somebody says it.
    @Test func lostHeaderMeansOneAtATime() throws {
        let sandbox = try Sandbox()
        _ = try sandbox.semq("acquire", "-q", "--concurrency", "2", "board.queue", "--", "true")
        let holders = try ["a", "b"].map {
            try sandbox.startingShell("semq acquire board.queue -- sh -c 'until [ -e go-\($0) ]; do sleep 0.01; done'")
        }
        #expect(Event.happens { status(sandbox).contains("2 of 2 held") })
        let waiter = try sandbox.startingShell(
            "semq acquire board.queue -- sh -c 'echo in >> log; until [ -e go-c ]; do sleep 0.01; done'")
        #expect(Event.happens { waiting(sandbox) == 1 })
        #expect(try sandbox.shell(try #require(Self.damages["no header"])).status == .exited(0))
        try sandbox.write("go-a", "")
        #expect(holders[0].wait().status == .exited(0))
        #expect(
            Event.happens {
                waiter.err.contains(
                    "the queue's record was damaged; one at a time until somebody says: semq set board.queue --concurrency N"
                )
            })
        #expect(!sandbox.exists("log"))
        #expect(try sandbox.semq("acquire", "-n", "board.queue", "--", "true").status == .exited(75))
        let set = try sandbox.semq("set", "board.queue", "--concurrency", "2")
        #expect(set.status == .exited(0))
        #expect(Event.happens { sandbox.exists("log") })
        for name in ["go-b", "go-c"] { try sandbox.write(name, "") }
        #expect(holders[1].wait().status == .exited(0))
        #expect(waiter.wait().status == .exited(0))
        #expect(sandbox.read("board.queue.history").contains("\"header-lost\""))
    }

    /// Damage after damage, while twelve take turns.
    @Test func queueGoesOnThroughDamageAfterDamage() throws {
        let sandbox = try Sandbox()
        let oracle = try Oracle(sandbox)
        let all = try (1...12).map { try start(sandbox, oracle, "\($0)", "") }
        let kinds = Self.damages.keys.sorted()
        for round in 0... {
            guard !all.allSatisfy(\.hasEnded), round < 200 else { break }
            _ = try sandbox.shell(try #require(Self.damages[kinds[round % kinds.count]]))
        }
        for running in all { #expect(running.wait().status == .exited(0), "\(running.err)") }
        #expect(!sandbox.exists("overlaps"))
        #expect(Set(oracle.names).count == 12)
    }

    private func start(_ sandbox: Sandbox, _ oracle: Oracle, _ name: String, _ file: String) throws -> Running {
        try sandbox.start([Sandbox.binary, "acquire", "board.queue", "--"] + oracle.words + [name, file])
    }

    private func status(_ sandbox: Sandbox) -> String { (try? sandbox.semq("status", "board.queue").out) ?? "" }

    private func waiting(_ sandbox: Sandbox) -> Int {
        let text = status(sandbox)
        guard let match = text.firstMatch(of: /, (\d+) waiting/) else { return 0 }
        return Int(match.1) ?? 0
    }
}
