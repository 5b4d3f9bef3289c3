import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Wall clocks that are set, by days and forward and back, of the queue's host and of its clients. Whoever waits or
/// holds never notices: only people are told times by them.
@Suite(.onHosts) struct ClockTests {
    private let scene: Scene
    private let one: TestHost
    private let two: TestHost

    private static let queue = "lab@bench:board.queue"
    private static let day = 86400

    init() throws {
        scene = try Scene(HostOptions { $0.hasClock = true })
        let folder = scene.sandbox.folder
        (one, two) = (
            try scene.lab.client("one", sees: [folder], hasClock: true),
            try scene.lab.client("two", sees: [folder], hasClock: true)
        )
    }

    /// Days from this machine's time; apart from each other all the more.
    struct Setting: CustomTestStringConvertible {
        var clients: Int
        var host: Int

        var testDescription: String { "the host's by \(host) days, the clients' by \(clients)" }

        static let all = [Setting(clients: -2, host: 3), Setting(clients: 3, host: -2)]
    }

    private func setClocks(_ setting: Setting) throws {
        try scene.bench.setClock(ahead: setting.host * Self.day)
        for client in [one, two] { try client.setClock(ahead: setting.clients * Self.day) }
    }

    private func expectOrder(_ names: String...) {
        #expect(scene.timeline.names == names && scene.complaint == nil, "\(scene.complaint ?? "")")
    }

    // MARK: turns

    @Test(arguments: Transport.allCases) func whileOneHoldsAndOneWaits(_ transport: Transport) throws {
        let holder = try scene.holding("a", on: one, transport.options)
        let next = try scene.waiting("b", on: two, transport.options)
        let standing = try scene.status()
        for setting in Setting.all {
            try setClocks(setting)
            let isDisturbed = Event.happens(within: Scene.lease + 1) { holder.running.hasEnded || next.isIn }
            #expect(!isDisturbed, "\(setting.testDescription): \(holder.said)")
            let now = try scene.status()
            #expect(now.holders.map(\.token) == standing.holders.map(\.token))
            #expect(now.waiting.map(\.ticket) == standing.waiting.map(\.ticket))
            try expectSensibleTimes(transport)
            try expectDoctorTells(setting, transport)
        }
        #expect(!next.said.contains { $0.contains(/-\d/) }, "\(next.said)")
        try expectLeaves(holder)
        try expectLeaves(next)
        expectOrder("a", "b")
        // Granted by a clock that was behind by then.
        let tokens = scene.timeline.entries.map(\.token)
        #expect(tokens.last == tokens.first.map { $0 + 1 })
        #expect(scene.becomesFree())
    }

    /// The slot goes on when the lease is over, and what it was for is dead by then, whatever the clocks say.
    @Test(arguments: Setting.all) func whileAHolderAndAWaiterAreCutOff(_ setting: Setting) throws {
        let holder = try scene.holding("a", on: one, manners: "dt")
        let next = try scene.waiting("b", on: two)
        let third = try scene.waiting("c", on: one)
        try scene.bench.drop(one)
        try setClocks(setting)
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        let told = try #require(
            holder.running.err.firstMatch(of: #/the lock is lost: no answer from the host for ([\d.]+) s;/#))
        #expect(try #require(Double(told.1)) >= 0.7 * Scene.lease, "\(told.0)")
        #expect(third.running.wait().status == .exited(69), "\(third.said)")
        #expect(third.says("no connection for 5 s, so the place is lost"), "\(third.said)")
        try expectLeaves(next)
        expectOrder("a", "b")
        #expect(try #require(scene.timeline.smallestMargin) > 0)
        #expect(scene.becomesFree())
    }

    /// Nobody is let in early, and nobody is kept out for days.
    @Test func whileATombstoneWaits() throws {
        let lease = 10
        let holder = try scene.holding("a", on: one, ["--lease", "\(lease)"])
        let agent = try #require(try scene.agents().first?.pid)
        let next = try scene.waiting("b", on: two)
        let killed = Timeline.now
        kill(agent, SIGKILL)
        #expect(Scene.comesToBe { (try? scene.status().holders.first?.cut_off) == true })
        for days in [3, -2] {
            try scene.bench.setClock(ahead: days * Self.day)
            let kept = try #require(
                try members(of: scene.bench.shell("cd; exec .cache/semq/*/semq status --json board.queue", user: "lab"))
                    .first)
            #expect(kept.cut_off == true)
            let rest = try #require(kept.expires) - Date().timeIntervalSince1970 - Double(days * Self.day)
            #expect((-60...Double(lease)).contains(rest), "\(rest)")
            let isIn = Event.happens(within: 1) { next.isIn }
            #expect(!isIn)
        }
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        try expectLeaves(next)
        expectOrder("a", "b")
        let entered = try #require(scene.timeline.entry("b")).start
        #expect(entered - killed >= lease * 1_000_000_000, "\(entered - killed) ns")
        #expect(scene.becomesFree())
    }

    /// For members on the queue's own host and on others.
    @Test func tokensRise() throws {
        let command = "-- sh -c 'echo $SEMQ_TOKEN'"
        func token(onDay day: Int, fromElsewhere: Bool) throws -> Int64 {
            try scene.bench.setClock(ahead: day * Self.day)
            let result =
                try fromElsewhere
                ? one.shell("semq acquire -q \(Self.queue) \(command)")
                : scene.bench.shell("cd; exec .cache/semq/*/semq acquire -q board.queue \(command)", user: "lab")
            return try #require(Int64(result.out.dropLast()), "\(result)")
        }
        let first = try token(onDay: 0, fromElsewhere: true)
        let ahead = try token(onDay: 3, fromElsewhere: false)
        #expect(ahead - first > 2 * Int64(Self.day) * 1_000_000, "the clock was set")
        #expect(try token(onDay: 0, fromElsewhere: false) == ahead + 1)
        #expect(try token(onDay: -2, fromElsewhere: true) == ahead + 2)
        #expect(try token(onDay: -2, fromElsewhere: false) == ahead + 3)
        #expect(try token(onDay: 4, fromElsewhere: true) > ahead + 4)
    }

    // MARK: what people are told

    private struct Status: Decodable {
        struct Member: Decodable {
            let since: String
            let lease_expires: String?
            let cut_off: Bool?

            private static func seconds(_ text: String) -> Double? {
                try? Date.ISO8601FormatStyle(includingFractionalSeconds: true).parse(text).timeIntervalSince1970
            }
            /// Seconds since 1970.
            var begun: Double? { Self.seconds(since) }
            var expires: Double? { lease_expires.flatMap(Self.seconds) }
        }

        let holders: [Member]
        let waiting: [Member]
    }

    private func members(of status: Sandbox.Result) throws -> [Status.Member] {
        let status = try JSONDecoder().decode(Status.self, from: Data(status.out.utf8))
        return status.holders + status.waiting
    }

    /// From the client and on the host.
    private func expectSensibleTimes(_ transport: Transport) throws {
        let options = transport.options.joined(separator: " ")
        for (host, user, command) in [
            (one, "root", "semq status \(options) \(Self.queue)"),
            (scene.bench, "lab", "cd; exec .cache/semq/*/semq status board.queue"),
        ] {
            let table = try host.shell(command, user: user).out
            // A time of day, with its date where that is another day, and a span that isn't negative.
            let row = #/(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d +(\d+s|\d+m\d\ds|\d+h\d\dm|\d+d\d\dh) /#
            #expect(table.matches(of: row).count == 2, "\(table)")
            let result = try host.shell(command.replacing(" status ", with: " status --json "), user: user)
            for member in try members(of: result) {
                // As it was granted: nobody corrects it.
                #expect(abs(try #require(member.begun) - Date().timeIntervalSince1970) < 600, "\(result.out)")
            }
        }
        // By the host's clock, wherever it stands now: the next sign of life renews it.
        let now = try #require(Double(scene.bench.run("date", "+%s").out.dropLast()))
        let expires = try #require(try members(of: one.run("semq", "status", "--json", Self.queue)).first?.expires)
        #expect(abs(expires - now) < 60, "\(expires - now)")
    }

    private func expectDoctorTells(_ setting: Setting, _ transport: Transport) throws {
        let doctor = try one.start(["semq", "doctor"] + transport.options + [Self.queue]).wait()
        let told = try #require(doctor.out.firstMatch(of: #/clocks +the host's is (\d+) s (\w+) .*leases are not/#))
        let ahead = (setting.host - setting.clients) * Self.day
        #expect(abs(try #require(Int(told.1)) - abs(ahead)) < 60, "\(told.0)")
        #expect(told.2 == (ahead > 0 ? "ahead" : "behind"), "\(told.0)")
        #expect(doctor.status == .exited(0), "\(doctor)")
    }

    /// The time that a cut has lasted.
    @Test func whileAWatchIsCutOff() throws {
        #expect(try one.run("semq", "set", Self.queue, "--concurrency", "1").status == .exited(0))
        let watch = try one.start(["semq", "status", "--watch", Self.queue])
        try #require(Event.happens { watch.out.contains("free") }, "\(watch.err)")
        for days in [3, -2] {
            try scene.bench.reject(one)
            #expect(Event.happens { watch.err.hasSuffix("(trying again)\n") }, "\(watch.err)")
            try one.setClock(ahead: days * Self.day)
            try scene.bench.heal()
            #expect(Event.happens { watch.err.contains(/connected again after .*\n$/) }, "\(watch.err)")
        }
        let told = watch.err.matches(of: #/lab@bench: connected again after ([\d.]+) s\n/#).map(\.1)
        #expect(told.count == 2 && told.allSatisfy { Double($0).map { $0 < 600 } == true }, "\(watch.err)")
        watch.send(SIGKILL)
    }
}
