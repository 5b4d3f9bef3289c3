import Testing

@testable import SemQueue

/// Who descends from whom, from what /proc shows.
@Suite struct ProcessTableTests {
    private typealias Process = ProcessTable.Process

    private func process(
        _ pid: Int32, below parent: Int32, session: Int32 = 10, _ state: Character = "S", threads: Int = 1
    )
        -> Process
    {
        Process(pid: pid, parent: parent, session: session, state: state, threads: threads)
    }

    @Test func descendantsAreFoundAtAnyDepth() {
        let table = ProcessTable([
            process(1, below: 0), process(20, below: 10), process(21, below: 20), process(22, below: 21),
            process(30, below: 1), process(10, below: 1),
        ])
        #expect(table.descendants(of: 10).map(\.pid) == [20, 21, 22])
        #expect(table.descendants(of: 10, except: [21]).map(\.pid) == [20])
    }

    @Test func theDeadDoNotCountAndHideNobody() {
        let table = ProcessTable([
            process(20, below: 10, "Z"), process(21, below: 10, "X"), process(22, below: 20),
            process(23, below: 10, "T"),
        ])
        #expect(Set(table.descendants(of: 10).map(\.pid)) == [22, 23])
    }

    /// It shows as a zombie, and its other threads go on.
    @Test func aProcessWhoseFirstThreadHasEndedLives() {
        #expect(process(20, below: 10, "Z", threads: 2).isAlive)
        #expect(!process(20, below: 10, "Z", threads: 1).isAlive)
    }

    @Test func aReadingInWhichAParentIsMissingIsTorn() {
        let whole = ProcessTable([process(1, below: 0), process(20, below: 10), process(10, below: 1)])
        #expect(!whole.isTorn(in: [10]))
        let torn = ProcessTable([process(1, below: 0), process(22, below: 21), process(10, below: 1)])
        #expect(torn.isTorn(in: [10]))
        #expect(!torn.isTorn(in: [11]), "another session's is nobody's business")
    }

    /// /proc may hide a child, and a child that has died may have left what came too late to be read.
    @Test func childrenThatDoNotShowCountAndThoseThatHaveDiedAreNoticed() {
        let table = ProcessTable([process(20, below: 10), process(21, below: 10, "Z")])
        let whole = table.adding([20, 22], of: 10) { $0 + 100 }
        #expect(whole.descendants(of: 10).map(\.pid).sorted() == [20, 22])
        #expect(whole.processes.last?.session == 122)
        #expect(table.hasDead(below: 10, except: []))
        #expect(!table.hasDead(below: 10, except: [21]), "a link is nobody's parent")
        #expect(!table.hasDead(below: 20, except: []))
    }

    @Test func aNameMayHoldAnything() throws {
        let text = "812 (a) S 1 (b ) R 7 8 9 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 3 0 4711 1 2"
        let process = try #require(Process(812, stat: Array(text.utf8)[...]))
        #expect(
            process == Process(pid: 812, parent: 7, session: 9, state: "R", name: "a) S 1 (b ", start: 4711, threads: 3)
        )
        #expect(Process(1, stat: Array("1 (x".utf8)[...]) == nil)
        #expect(Process(1, stat: Array("1 (x) S 1 2".utf8)[...]) == nil)
    }
}
