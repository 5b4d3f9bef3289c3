import Foundation
import Glibc
import SemQueueTestSupport
import Testing

/// What `sudo` starts may not be killed by the client that is cut off from its agent: it is named, and the slot kept
/// for it as long as the agent hears of it before its lease is over.
@Suite(.onHosts) struct RootChildTests {
    private let scene: Scene
    private let one: TestHost
    private let two: TestHost

    init() throws {
        scene = try Scene()
        (one, two) = (try scene.client("one"), try scene.client("two"))
    }

    /// `sudo` without a password: a program that makes itself root's, and work that takes until it is told to end.
    private func becomingRoot(in folder: String) throws {
        chmod(scene.sandbox.path("."), 0o777)
        _ = try scene.sandbox.shell("cp $(command -v setpriv) asroot && chmod 4755 asroot")
        let work = "cd \(folder); echo $$ > child; until test -e go; do sleep 0.02; done; echo done > done"
        try scene.sandbox.write("work", "#!/bin/sh\n\(work)\n", executable: true)
    }

    private static let work = ["./asroot", "--reuid", "0", "--clear-groups", "./work"]
    private let named = /work \(pid (\d+)\)( and \d+ more)?: another user's, and not to be ended from here/

    /// A user who isn't root, whose work is, and who is in.
    private func holding(_ lease: Int) throws -> Scene.Turn {
        try becomingRoot(in: scene.sandbox.folder)
        let semq = ["semq", "acquire", "-m", "a", "--lease", "\(lease)", "lab@bench:board.queue", "--"] + Self.work
        let running = try one.start(["env", "-C", scene.sandbox.folder] + semq, user: "lab")
        let turn = Scene.Turn(name: "a", client: one, running: running, scene: scene)
        let isIn = Event.happens { scene.sandbox.exists("child") && scene.sandbox.read("child").hasSuffix("\n") }
        try #require(isIn, "\(running.err)")
        return turn
    }

    private func expectNamed(_ text: String) {
        let pid = text.firstMatch(of: named).map { String($0.1) }
        #expect(pid == scene.sandbox.read("child").split(separator: "\n").first.map(String.init), "\(text)")
    }

    /// Longer than the client may count on, shorter than the agent waits.
    @Test func theSlotIsKeptForItWhenTheConnectionIsBackInTime() throws {
        let holder = try holding(20)
        let next = try scene.waiting("b", on: two)
        try scene.bench.drop(one)
        #expect(Event.happens(within: 30) { holder.running.err.contains(named) }, "\(holder.said)")
        expectNamed(holder.running.err)
        try scene.bench.heal()
        let kept = "lab@bench:board.queue: connected again; the slot is kept until all has ended here"
        #expect(Event.happens { holder.says(kept) }, "\(holder.said)")
        #expect(Event.happens { next.running.err.contains(named) }, "\(next.said)")
        expectNamed(try scene.statusText())
        // Past the lease of before, and the one from when the connection was back.
        let isDisturbed = Event.happens(within: 22) { holder.running.hasEnded || next.isIn }
        #expect(!isDisturbed, "\(holder.said)")
        #expect(holder.said.count { $0.contains(named) } == 1, "\(holder.said)")
        try scene.sandbox.write("go", "")
        #expect(Event.happens { next.isIn }, "\(next.said)")
        #expect(scene.sandbox.exists("done"))
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        try expectLeaves(next)
        #expect(scene.becomesFree())
    }

    /// Nobody can wait for that: the host hears nothing of it.
    @Test func itIsNamedWhereTheCutLastsLonger() throws {
        let holder = try holding(5)
        let next = try scene.waiting("b", on: two)
        try scene.bench.drop(one)
        #expect(Event.happens(within: 30) { holder.running.err.contains(named) }, "\(holder.said)")
        #expect(holder.says("the turn lasts until it ends, but where its host isn't reached no longer than the lease"))
        #expect(Event.happens(within: 30) { next.isIn }, "\(next.said)")
        #expect(!holder.running.hasEnded && !scene.sandbox.exists("done"))
        try scene.bench.heal()
        let over = "the turn is over there, and the next one may be in: "
        #expect(Event.happens(within: 30) { holder.says(over) }, "\(holder.said)")
        expectNamed(holder.said.last { $0.contains(over) } ?? "")
        #expect(!holder.says("the slot is kept"))
        try scene.sandbox.write("go", "")
        #expect(holder.running.wait().status == .exited(76), "\(holder.said)")
        try expectLeaves(next)
        #expect(scene.becomesFree())
    }

    /// There the lock is local, and stays with the work however long the cut is.
    @Test func whereItRunsOnTheHostItHoldsTheTurn() throws {
        try becomingRoot(in: "/srv")
        for name in ["asroot", "work"] { try scene.bench.put(scene.sandbox.path(name), at: "/srv/\(name)") }
        let line = "cd /srv && exec \(Self.work.joined(separator: " "))"
        let running = try one.start(
            ["semq", "acquire", "--there", "-m", "a", "--lease", "5", "lab@bench:board.queue", "--", "sh", "-c", line])
        #expect(Event.happens { scene.bench.read("/srv/child").hasSuffix("\n") }, "\(running.err)")
        let next = try scene.waiting("b", on: two)
        try scene.bench.drop(one)
        #expect(running.wait().status == .exited(76))
        #expect(running.err.contains("the command there is being ended"), "\(running.err)")
        #expect(Event.happens(within: 30) { next.running.err.contains(named) }, "\(next.said)")
        #expect(try scene.statusText().contains(named))
        let isDisturbed = Event.happens(within: 8) { next.isIn }
        #expect(!isDisturbed, "\(next.said)")
        #expect(try scene.bench.shell(": >/srv/go").status == .exited(0))
        #expect(Event.happens(within: 30) { next.isIn }, "\(next.said)")
        #expect(scene.bench.exists("/srv/done"))
        try expectLeaves(next)
        #expect(scene.becomesFree())
    }
}
