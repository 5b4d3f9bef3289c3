import Foundation
import Glibc
import SemQueue
import SemQueueTestSupport
import Testing

/// Holders on other hosts that are lost without a word, as those at the queue's own host see it.
@Suite struct LeaseFaultTests {
    /// Takes a slot with a lease, in this process. Let go of, it is lost as that of a killed process is.
    private func hold(_ path: String, lease: Duration?) throws -> any Grant {
        var request = Request()
        request.description = "flash.sh"
        request.lease = lease
        if lease != nil { request.party = Party(pid: 4242, host: "desk", user: "ann", description: "") }
        request.limit = .zero
        let outcome = try LocalSemaphore(path).acquire(request, alarm: Alarm(), observer: Unobserved())
        guard case .granted(let grant) = outcome else { throw Refused(outcome: outcome) }
        return grant
    }

    private struct Refused: Error { var outcome: Outcome }

    @Test func whatIsKeptIsShownAndWaitedFor() throws {
        let sandbox = try Sandbox()
        var grant: (any Grant)? = try hold(sandbox.path("q"), lease: .seconds(3))
        let held = try sandbox.semq("status", "q").out
        #expect(held.contains(#/\n +TICKET +WHO +PID +SINCE +FOR +LEASE +WHAT\n/#))
        #expect(held.contains(#/\n  slot 0  1 +ann@desk +4242 .*  until \d\d:\d\d:\d\d  flash.sh\n/#))
        #expect(
            try sandbox.semq("status", "--json", "q").out.contains(
                #/"token": \d+, "stopped": null, "lease_expires": "2\d\d\d-[^"]+Z"}]/#))
        #expect(grant != nil)
        grant = nil

        let start = ContinuousClock.now
        let busy = try sandbox.semq("acquire", "-n", "q", "--", "true")
        #expect(busy.status == .exited(75))
        #expect(
            busy.err.contains(
                #/^semq: q: busy: held by ann@desk \(pid 4242\) for \d+s, cut off, kept until \d\d:\d\d:\d\d: flash.sh\n/#
            ),
            "\(busy.err)")
        let kept = try sandbox.semq("status", "q").out
        #expect(kept.hasPrefix("q: held, nobody waits\n"))
        #expect(
            kept.contains(#/\n  slot 0, cut off  1 +ann@desk +4242 .*  until \d\d:\d\d:\d\d  flash.sh\n/#), "\(kept)")
        let json = try sandbox.semq("status", "--json", "q").out
        #expect(json.contains(#/"lease_expires": "[^"]+Z", "cut_off": true}], "waiting": \[\]}/#), "\(json)")
        let ended = try sandbox.semq("release", "q", "--ticket", "1", "--reason", "x")
        #expect(ended.status == .exited(1), "there is nobody left to end")
        let sentence =
            #/^semq: q: the agent of ann@desk \(pid 4242\) has died, and nobody is left to be told; the slot is kept until /#
        #expect(ended.err.contains(sentence), "\(ended.err)")

        let next = try sandbox.semq("acquire", "-q", "q", "--", "true")
        #expect(next.status == .exited(0))
        #expect(start.duration(to: .now) >= .seconds(3))
        #expect(try sandbox.semq("status", "q").out == "q: free, nobody waits\n")
        let events = try sandbox.semq("history", "q").out.split(separator: "\n").map { $0.split(separator: " ")[1] }
        #expect(events == ["granted", "lost", "granted", "released"])
    }

    @Test func aDamagedRecordIsToldToThoseWhoWait() throws {
        let sandbox = try Sandbox()
        var grant: (any Grant)? = try hold(sandbox.path("q"), lease: .seconds(3))
        let waiter = try sandbox.starting("acquire", "q", "--", "touch", "ran")
        #expect(Event.happens { waiter.err.contains("next in line") })
        #expect(try sandbox.shell("dd if=/dev/zero of=q bs=512 seek=32 count=1 conv=notrunc").status == .exited(0))
        #expect(grant != nil)
        grant = nil
        let sentence =
            "semq: q: somebody on another host may hold it, whose record was lost; nobody is granted for 1m00s, "
            + "until no lease can last any more\n"
        #expect(Event.happens { waiter.err.contains(sentence) }, "\(waiter.err)")
        let status = try sandbox.semq("status", "q").out
        #expect(
            status.contains(
                #/\nnobody is granted until \d\d:\d\d:\d\d: somebody on another host may hold it, whose record was lost\n/#
            ),
            "\(status)")
        #expect(try sandbox.semq("status", "--json", "q").out.contains(#/"paused": null, "held_off_until": "2\d\d\d-/#))
        let busy = try sandbox.semq("acquire", "-n", "q", "--", "true")
        #expect(busy.err.contains("semq: q: busy: nobody is granted until "), "\(busy.err)")
        #expect(sandbox.read("q.history").contains(#""event": "held-off", "seconds": 60, "damaged": 1}"#))
        #expect(!sandbox.exists("ran"))
        waiter.send(SIGTERM)
        #expect(waiter.wait().status == .signaled(SIGTERM))
    }

    /// Whoever held the queue of before may still be at work.
    @Test(arguments: ["rm q", "mv q old", "dd if=/dev/zero of=q bs=512 count=40 conv=notrunc status=none"])
    func aQueueThatIsGoneOrBeyondRecognition(_ damage: String) throws {
        let sandbox = try Sandbox()
        var grant: (any Grant)? = try hold(sandbox.path("q"), lease: .seconds(30))
        #expect(grant != nil)
        grant = nil
        #expect(try sandbox.shell(damage).status == .exited(0))
        if sandbox.exists("q") {
            let refused = try sandbox.semq("acquire", "-n", "q", "--", "touch", "ran")
            #expect(refused.status == .exited(65))
            #expect(
                refused.err
                    == "semq: q: is no semq queue any more, and somebody on another host may still hold what it was, as "
                    + "q.remote tells; move it away: at a new one nobody is granted for 60 s; nothing was changed\n")
            #expect(try sandbox.shell("mv q old").status == .exited(0))
        }
        let busy = try sandbox.semq("acquire", "-n", "q", "--", "touch", "ran")
        #expect(busy.status == .exited(75))
        #expect(busy.err.contains("semq: q: busy: nobody is granted until "), "\(busy.err)")
        #expect(!sandbox.exists("ran"))
        let status = try sandbox.semq("status", "q").out
        #expect(status.hasPrefix("q: held off, nobody waits\nnobody is granted until "), "\(status)")
        let diagnosis = try sandbox.semq("doctor", "q").out
        #expect(diagnosis.contains("\nnote  held off     nobody is granted until "), "\(diagnosis)")
        // Taken away with it, that is over.
        #expect(try sandbox.shell("rm q q.remote").status == .exited(0))
        #expect(try sandbox.semq("acquire", "-n", "q", "--", "true").status == .exited(0))
    }

    /// For members on other hosts what they hold must be written down.
    @Test func onAFullDiskNobodyFromElsewhereIsLetIn() throws {
        guard Machine.has(.root) else { return }
        let sandbox = try Sandbox()
        try sandbox.mount("mount -t tmpfs -o size=256k none \"$1\"")
        let queue = sandbox.path("mounted/q")
        _ = try sandbox.semq("set", queue, "--concurrency", "40")
        #expect(try sandbox.shell("dd if=/dev/zero of=mounted/filler bs=4k").status != .exited(0))
        // As many as have room for their records.
        let room = 40
        var locals: [any Grant] = []
        var error: SemaphoreError?
        while error == nil, locals.count < room {
            do { try hold(queue, lease: .seconds(1)).release() } catch let refusal as SemaphoreError { error = refusal }
            locals.append(try hold(queue, lease: nil))
        }
        #expect(error?.code == .io)
        #expect(
            error?.message
                == "\(queue): can't write the queue file: No space left on device; members on other hosts are let in "
                + "only where what they hold can be written down")
        #expect(locals.count > 1, "while there was room they were let in, and local ones are without it")
        #expect(try QueueStatus(path: queue).holders.count == locals.count, "nothing is left behind")
        for local in locals { local.release() }
        #expect(try QueueStatus(path: queue).holders.isEmpty)
    }

    /// The agent of a holder is killed while its client works: nobody is let in before the client's lease is over.
    @Test func aKilledAgentsSlotIsKeptForItsLease() throws {
        let sandbox = try Sandbox()
        let oracle = try Oracle(sandbox)
        // Another host, as far as semq can tell: it runs here what ssh would run there.
        let rsh = try sandbox.write(
            "rsh",
            "#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\ncd \"${0%/*}\"; echo $$ > agent\nexec sh -c \"exec $1\"\n",
            executable: true)
        let queue = sandbox.path("q")
        let holder = try sandbox.start(
            [Sandbox.binary, "acquire", "box:\(queue)", "--"] + oracle.words + ["holder", "never"],
            environment: ["SEMQ_RSH": rsh])
        #expect(Event.happens { oracle.names == ["holder"] }, "\(holder.err)")
        let next = try sandbox.start([Sandbox.binary, "acquire", queue, "--"] + oracle.words + ["next"])
        #expect(Event.happens { (try? QueueStatus(path: queue).waiting.count) == 1 })
        let agent = try #require(pid_t(sandbox.read("agent").trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(try String(contentsOfFile: "/proc/\(agent)/cmdline", encoding: .utf8).contains("agent"))

        let start = ContinuousClock.now
        kill(agent, SIGKILL)
        #expect(Event.happens { (try? QueueStatus(path: queue).holders.first?.isCutOff) == true })
        #expect(holder.wait().status == .exited(76))
        // Whatever ran under the permit is dead by now; the oracle's trace of it is not.
        rmdir(sandbox.path("inside"))
        #expect(oracle.names == ["holder"])
        #expect(next.wait().status == .exited(0))
        #expect(start.duration(to: .now) >= .seconds(15))
        #expect(oracle.names == ["holder", "next"])
        #expect(oracle.complaint == nil)
    }
}
