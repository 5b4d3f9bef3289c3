import Foundation
import SemQueueTestSupport
import Testing

/// An acquire inside a command that holds the same queue runs under that permit.
@Suite struct NestingTests {
    @Test func aNestedAcquireRunsUnderThePermitOfTheCommandAroundIt() throws {
        let sandbox = try Sandbox()
        let inner = "semq acquire -n q -- sh -c 'echo inner $SEMQ_TICKET $SEMQ_TOKEN; exit 5'"
        let result = try sandbox.semq(
            "acquire", "-q", "q", "--", "sh", "-c", "echo outer $SEMQ_TICKET $SEMQ_TOKEN; \(inner)")
        #expect(result.status == .exited(5))
        let lines = result.out.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines.first?.dropFirst(5) == lines.last?.dropFirst(5), "it is the same permit")
        #expect(try sandbox.isFree("q"))
    }

    @Test func aNestedCommandIsToldOfThePermitsThatItAskedFor() throws {
        let sandbox = try Sandbox()
        let show = "sh -c 'echo $SEMQ_SEMAPHORE: $SEMQ_TICKET'"
        #expect(try sandbox.semq("acquire", "-q", "a", "--", "true").status == .exited(0))
        #expect(
            try sandbox.shell("semq acquire -q a -- semq acquire -q b -- semq acquire -q a -- \(show)").out == "a: 2\n",
            "not of the nearest")
        #expect(
            try sandbox.shell("semq acquire -q a -- semq acquire -q b -- semq acquire -q --any c a -- \(show)").out
                == "a: 3\n")
        #expect(
            try sandbox.shell("semq acquire -q a -- semq acquire -q --all c a ./a c -- \(show)").out == "c a: 1 4\n",
            "all, in the order of the command line, each queue once")
        let held = try sandbox.shell("semq acquire -q a -- semq acquire -q a < /dev/null").out
        #expect(held.hasPrefix("acquired a ticket=5 slot=0 token="))
    }

    @Test func aNestedAcquireMayNotContradictTheConcurrencyEither() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.shell("semq acquire -q q -- semq acquire --concurrency 2 q -- echo ran")
        let sentence =
            "semq: q: this queue was made with concurrency 1, not 2; leave --concurrency out, or change it for all: "
            + "semq set q --concurrency 2\n"
        #expect(result == .init(status: .exited(64), out: "", err: sentence))
        #expect(try sandbox.shell("semq acquire -q q -- semq acquire --concurrency 1 q -- echo ran").out == "ran\n")
    }

    @Test func nestingGoesAnyDepthAndByAnyNameOfTheQueue() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.shell(
            "semq acquire -q q -- semq acquire -n ./q -- semq acquire -n \"$PWD/q\" -- semq acquire -n q -- echo deep")
        #expect(result == .init(status: .exited(0), out: "deep\n", err: ""))
    }

    @Test func aNestedAcquireKeepsThePermitUntilItHasEnded() throws {
        let sandbox = try Sandbox()
        try sandbox.gate("go")
        let inner = "semq acquire -q q -- bash -c ': > started; read x < go' > /dev/null 2>&1 &"
        let outer = try sandbox.starting(
            "acquire", "-q", "q", "--", "bash", "-c", "\(inner) until [ -e started ]; do sleep 0.02; done; : > over")
        #expect(Event.happens { sandbox.exists("over") })
        let waiter = try sandbox.waiting("q", as: "next")
        #expect(try !sandbox.isFree("q"))
        try sandbox.open("go")
        #expect(waiter.wait().status == .exited(0))
        #expect(outer.wait().status == .exited(0))
    }

    @Test func anotherQueueInsideIsTakenForItself() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.holding("r")
        let busy = try sandbox.semq("acquire", "-q", "q", "--", "semq", "acquire", "-n", "-q", "r", "--", "true")
        #expect(busy.status == .exited(75))
        holder.stop()
        let inner = "semq acquire -q r -- sh -c 'semq acquire -n q -- echo q; semq acquire -n r -- echo r'"
        #expect(try sandbox.semq("acquire", "-q", "q", "--", "sh", "-c", inner).out == "q\nr\n")
    }

    @Test func aForgedOrOutdatedEnvironmentIsNotAccepted() throws {
        let sandbox = try Sandbox()
        let holder = try sandbox.starting(
            "acquire", "-q", "q", "--", "sh", "-c", "echo $SEMQ_HELD > held; exec sleep 60")
        #expect(Event.happens { sandbox.read("held").hasSuffix("\n") })
        let held = String(sandbox.read("held").dropLast())
        let words = held.split(separator: " ").map(String.init)
        try #require(words.count == 4)
        let (queue, priority, ticket, token) = (words[0], words[1], words[2], try #require(Int(words[3])))
        let number = try #require(Int(ticket))
        for forged in [
            "\(queue) \(priority) \(ticket) \(token + 1)", "\(queue) \(priority) \(number + 1) \(token)",
            "\(queue) 1 \(ticket) \(token)", "0 \(priority) \(ticket) \(token)", "\(queue)", "nonsense\n\n1 2 3 4",
            "\(queue) \(priority) -1 \(token)", "\(queue) \(priority) 99999999999999999999 \(token)",
        ] {
            let result = try sandbox.semq("acquire", "-n", "-q", "q", "--", "true", environment: ["SEMQ_HELD": forged])
            #expect(result.status == .exited(75), "\(forged)")
        }
        holder.stop()
        let next = try sandbox.holding("q")
        let late = try sandbox.semq("acquire", "-n", "-q", "q", "--", "true", environment: ["SEMQ_HELD": held])
        #expect(late.status == .exited(75), "the permit has ended since")
        next.stop()
        let fresh = try sandbox.semq(
            "acquire", "-n", "-q", "q", "--", "sh", "-c", "echo $SEMQ_TICKET", environment: ["SEMQ_HELD": held])
        #expect(fresh.out != "\(ticket)\n" && fresh.status == .exited(0))
    }

    @Test func aNestedAcquireOfSeveralTakesOnlyWhatIsMissing() throws {
        let sandbox = try Sandbox()
        let inner =
            "semq acquire -q --all q r -- sh -c 'semq acquire -n -q q -- true && semq acquire -n -q r -- echo both'"
        let result = try sandbox.semq("acquire", "-q", "q", "--", "sh", "-c", inner)
        #expect(result == .init(status: .exited(0), out: "both\n", err: ""))
        let any = "semq acquire -n -q --any r q -- true"
        let holder = try sandbox.holding("r")
        #expect(try sandbox.semq("acquire", "-q", "q", "--", "sh", "-c", any).status == .exited(0))
        holder.stop()
    }
}
