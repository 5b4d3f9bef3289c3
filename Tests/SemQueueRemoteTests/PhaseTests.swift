import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// Connections that break at each phase of their lives.
@Suite(.onHosts) struct PhaseTests {
    private let scene: Scene
    private let one: TestHost

    init() throws {
        scene = try Scene()
        one = try scene.client("one")
    }

    // MARK: while it is made

    private enum Point: String, CaseIterable {
        case accept, banner, kexinit, kex, newkeys, encrypted
        /// Somebody is logging in.
        case login
        /// Somebody is logged in, and the agent is about to be started.
        case start

        /// Nil is when it is seen there.
        var rule: (phase: TestProxy.Phase, after: Int)? {
            switch self {
            case .start: nil
            case .login: (.encrypted, 100)
            default: TestProxy.Phase(rawValue: rawValue).map { ($0, 0) }
            }
        }
    }

    @Test(arguments: Breakage.allCases) func aConnectionThatBreaks(_ breakage: Breakage) throws {
        try expectClientsGiveUp(breakage, at: Point.allCases)
    }

    /// Which is as good as silence; `ssh` is content with a byte now and then, until semq has had enough.
    @Test func aConnectionThatDrips() throws {
        try expectClientsGiveUp(.silence, .drip(seconds: 1), at: [.banner, .kex, .login])
    }

    /// Before long, and they say with whom, in which phase, why, and what to do.
    private func expectClientsGiveUp(_ breakage: Breakage, _ action: TestProxy.Action? = nil, at points: [Point])
        throws
    {
        let begun = Date()
        // They come all at once, and some stay for long.
        try scene.bench.sshd(.restart, configuration: ["MaxStartups 100"])
        let wait = "echo >>reached.${SSH_CONNECTION%% *}; until [ -e go ]; do sleep 0.1; done"
        _ = try scene.bench.shell("echo '\(wait)' >.bashrc", user: "lab")
        let ways = try points.map { (point: $0, proxy: try scene.lab.proxy("way-\($0)", to: scene.bench)) }
        let clients = try ways.flatMap { point, proxy in
            if let rule = point.rule {
                try proxy.rules(.init(action ?? breakage.action, breakage.direction, at: rule.phase, after: rule.after))
            }
            return try Transport.allCases.map { ($0, point, proxy, try connect(to: proxy.name, $0)) }
        }
        for (point, proxy) in ways where point.rule == nil {
            let haveReached = Event.happens { scene.bench.read("/home/lab/reached.\(proxy.address)") == "\n\n" }
            #expect(haveReached)
            try proxy.act(breakage)
        }
        for (transport, point, proxy, running) in clients {
            // A log-in shell may take a minute.
            #expect(Event.happens(within: 90) { running.hasEnded }, "\(transport) \(point) goes on: \(running.err)")
            let result = running.wait()
            #expect(result.status == .exited(69), "\(transport) \(point): \(result)")
            let said = result.err.split(separator: "\n").last ?? ""
            let why =
                transport == .own
                ? complaint(breakage, at: point, proxy) : sshComplaint(at: point, proxy, isDripping: action != nil)
            let line = try Regex("^semq: lab@\(proxy.name): \(why)")
            #expect(said.contains(line), "\(transport) \(point): \(result.err)")
        }
        print("\(breakage): all had given up after \(Int(Date().timeIntervalSince(begun))) s")
        _ = try scene.bench.shell(": >go", user: "lab")
        #expect(Scene.comesToBe { (try? scene.agents().isEmpty) == true }, "an agent is left")
    }

    /// What is said by way of libssh2.
    private func complaint(_ breakage: Breakage, at point: Point, _ proxy: TestProxy) -> String {
        let place = "\(proxy.name):22"
        let end = "(Connection reset by peer|the server closed (it|the connection)); "
        let advice = "does the network in between break connections, or does the server's log tell more\\?$"
        let isThere = "is the network in between still there\\?$"
        let why =
            switch point {
            // It has heard who the host is, and the host not who it is.
            case .accept where breakage != .halfUp, .banner where breakage != .halfUp:
                breakage.isSilent
                    ? "\(place) accepts connections but does not say that it is an SSH server: is it the right port, "
                    : "(\(place) closed the connection before it said who it is: .* \\(MaxStartups\\)$"
                        + "|can't connect to \(place): .*: Connection reset by peer; is the host up, )"
            case .accept, .banner, .kexinit, .kex, .newkeys, .encrypted:
                breakage.isSilent
                    ? "\(place) stopped answering during key exchange: \(isThere)"
                    : "key exchange with \(place) failed: \(end)\(advice)"
            case .login:
                breakage.isSilent
                    ? "\(place) stopped answering during authentication: \(isThere)"
                    : "\(place) broke off while lab logged in: \(end)\(advice)"
            case .start: ""
            }
        guard point == .start else { return "can't be reached: \(why)" }
        let lost = "the connection was lost before semq answered: the connection to \(place) is lost: "
        // A host that is there and says nothing may be a slow one.
        let silent = "no semq has answered within 60 s; does the log-in shell there wait for something\\?"
        return breakage.isSilent ? "(\(lost)Connection timed out; \(advice)|\(silent))" : lost + end + advice
    }

    /// What `ssh` says, and no more.
    private func sshComplaint(at point: Point, _ proxy: TestProxy, isDripping: Bool) -> String {
        point == .start
            ? "can't be reached: (Connection to \(proxy.name) closed by remote host.|client_loop: send disconnect: .*"
                + "|Read from remote host \(proxy.name): .*|Timeout, server \(proxy.name) not responding.)$"
            : "(can't be reached: .*(by|to|host) (\(proxy.name)|\(proxy.address)) port 22"
                + "\(isDripping ? "|no semq has answered within 60 s; does the log-in shell there wait " : ""))"
    }

    private func connect(to host: String, _ transport: Transport) throws -> Running {
        try one.start(["semq", "acquire", "lab@\(host):board.queue"] + transport.options + ["--", "true"])
    }

    /// The client's name server is a host whose packets are all dropped.
    @Test(arguments: Transport.allCases) func itsNameIsLookedUpWithoutEnd(_ transport: Transport) throws {
        _ = try one.shell(
            "echo 'hosts: files dns' > /etc/nsswitch.conf; echo 'nameserver \(scene.bench.address)' > /etc/resolv.conf")
        try scene.bench.drop(one)
        func start(_ options: String...) throws -> Running {
            try one.start(
                ["semq", "acquire"] + transport.options + options + ["lab@far.example:board.queue", "--", "true"])
        }
        let interrupted = try start()
        // A socket to port 53.
        let asks = Scene.comesToBe { (try? one.shell("grep -q ':0035 ' /proc/net/udp").status) == .exited(0) }
        #expect(asks, "\(interrupted.err)")
        interrupted.send(SIGINT)
        #expect(Event.happens(within: 5) { interrupted.hasEnded } && interrupted.wait().status == .signaled(SIGINT))
        let patient = try start()
        let limited = try start("-w", "1")
        #expect(
            Event.happens(within: 10) { limited.hasEnded } && limited.wait().status == .exited(75), "\(limited.err)")
        #expect(Event.happens(within: 60) { patient.hasEnded })
        let result = patient.wait()
        #expect(result.status == .exited(69), "\(result)")
        #expect(result.err.contains(#/^semq: lab@far.example: .*(name resolution|could not be resolved)/#), "\(result)")
    }

    /// The client's name server isn't there, is at a loss, knows no such name, or doesn't want to tell.
    @Test(arguments: Transport.allCases) func itsNameIsNotTold(_ transport: Transport) throws {
        _ = try one.shell(
            "echo 'hosts: files dns' > /etc/nsswitch.conf; echo 'nameserver \(scene.bench.address)' > /etc/resolv.conf")
        func expectFails(_ name: String, _ reason: String) throws {
            let result = try connect(to: name, transport).wait()
            #expect(result.status == .exited(69), "\(result)")
            // Where nobody else knows the name, ssh is asked too.
            let why = "ssh: Could not resolve hostname \(name): \(reason): check the name, and the name server"
            #expect(result.err == "semq: lab@\(name): can't be reached: \(why)\n", "\(result)")
        }
        try expectFails("nobody.example", "Temporary failure in name resolution")
        // Answers each question with the code that stands in its name.
        let server = #"""
            socket(S, AF_INET, SOCK_DGRAM, 0) && bind(S, sockaddr_in(53, INADDR_ANY)) or die $!;
            while (my $who = recv(S, my $query, 512, 0)) {
                my ($code) = $query =~ /code(\d)/;
                send(S, substr($query, 0, 2) . pack("n", 0x8180 | $code) . substr($query, 4), 0, $who);
            }
            """#
        let running = try scene.bench.start(["perl", "-MSocket", "-e", server])
        let isUp = Scene.comesToBe { (try? scene.bench.shell("grep -q ':0035 ' /proc/net/udp").status) == .exited(0) }
        #expect(isUp, "\(running.err)")
        // SERVFAIL, NXDOMAIN, REFUSED.
        try expectFails("code2.example", "Temporary failure in name resolution")
        try expectFails("code3.example", "Name or service not known")
        try expectFails("code5.example", "Temporary failure in name resolution")
    }

    /// Whether the host is there can't be known.
    @Test(arguments: Transport.allCases) func itsPacketsVanish(_ transport: Transport) throws {
        // It has one address; for another one, ssh would take as long again.
        let proxy = try scene.lab.proxy("way", to: scene.bench)
        try one.drop(nil, .into)
        let running = try connect(to: proxy.name, transport)
        #expect(Event.happens(within: 60) { running.hasEnded }, "\(running.err)")
        let result = running.wait()
        #expect(result.status == .exited(69), "\(result)")
        let why =
            transport == .own
            ? "no connection to way:22 within 10.0 seconds: \(proxy.address): no answer; is the host up, and does a "
                + "firewall let it through?"
            : "ssh: connect to host way port 22: Connection timed out"
        #expect(result.err == "semq: lab@way: can't be reached: \(why)\n", "\(result)")
    }

    // MARK: later

    /// One that holds and one that waits over the same way.
    @Test(arguments: Breakage.allCases, Transport.allCases)
    func itBreaksWhileHoldingAndWaiting(_ breakage: Breakage, _ transport: Transport) throws {
        // With a longer lease a silent connection is replaced before anybody is told.
        let options = transport.options + ["--lease", "10"]
        let proxy = try scene.lab.proxy("way", to: scene.bench)
        let holder = try scene.holding("a", on: one, options, at: "lab@way:board.queue")
        let next = try scene.waiting("b", on: one, options, at: "lab@way:board.queue")
        try proxy.act(breakage)
        for turn in [holder, next] {
            #expect(Event.happens { turn.says("connected again after") }, "\(turn.said)")
        }
        let isDisturbed = Event.happens(within: 1) { holder.running.hasEnded || next.isIn }
        #expect(!isDisturbed)
        try expectLeaves(holder)
        try expectLeaves(next)
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
        #expect(scene.becomesFree())
    }

    /// The slot is passed on by hand at that very moment.
    @Test(arguments: Breakage.allCases, Transport.allCases)
    func itBreaksAtTheInstantOfTheGrant(_ breakage: Breakage, _ transport: Transport) throws {
        let proxy = try scene.lab.proxy("way", to: scene.bench)
        let two = try scene.client("two")
        // A silent connection is noticed by the next heartbeat, one in a fifth of the lease.
        let options = transport.options + ["--lease", breakage.isSilent ? "20" : "60"]
        var names: [String] = []
        for number in 0..<4 {
            let holder = try scene.holding("a\(number)", on: two)
            let next = try scene.waiting("b\(number)", on: one, options, at: "lab@way:board.queue")
            try holder.leave()
            usleep(UInt32(number * 8000))
            try proxy.act(breakage)
            #expect(holder.running.wait().status == .exited(0), "\(holder.said)")
            #expect(Event.happens { next.isIn }, "\(number): \(next.said)")
            try expectLeaves(next)
            names += [holder.name, next.name]
            #expect(scene.becomesFree(), "\(number)")
        }
        #expect(scene.timeline.names == names && scene.complaint == nil, "\(scene.complaint ?? "")")
    }

    /// The goodbye is swallowed, and said again by another connection.
    @Test(arguments: Breakage.allCases, Transport.allCases)
    func itBreaksAtTheRelease(_ breakage: Breakage, _ transport: Transport) throws {
        let proxy = try scene.lab.proxy("way", to: scene.bench)
        let holder = try scene.holding(
            "a", on: one, transport.options + ["--lease", "60"], at: "lab@way:board.queue")
        let next = try scene.waiting("b", on: scene.client("two"))
        try proxy.act(breakage)
        try holder.leave()
        #expect(Event.happens { next.isIn }, "\(next.said) \(holder.said)")
        #expect(holder.running.wait().status == .exited(0), "\(holder.said)")
        try expectLeaves(next)
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
        #expect(scene.becomesFree())
    }

    /// Nobody hears the goodbye: the command's exit code counts all the same, and the lease does the rest.
    @Test func theHostIsCutOffAtTheRelease() throws {
        let holder = try scene.holding("a", on: one)
        let next = try scene.waiting("b", on: scene.client("two"))
        try scene.bench.drop(one)
        try holder.leave()
        #expect(Event.happens { holder.running.hasEnded }, "\(holder.said)")
        #expect(holder.running.wait().status == .exited(0), "\(holder.said)")
        #expect(Event.happens(within: Scene.lease + 2) { next.isIn }, "\(next.said)")
        try expectLeaves(next)
        #expect(scene.timeline.names == ["a", "b"] && scene.complaint == nil, "\(scene.complaint ?? "")")
    }
}
