import Testing

@testable import SemQueue

/// Who may stand before an agent without a word, and for how long.
@Suite struct VisitorsTests {
    private func full(at now: Duration) -> Visitors<Int> {
        var visitors = Visitors<Int>()
        for number in 0..<Visitors<Int>.most { #expect(visitors.admit(number, at: now) == nil) }
        return visitors
    }

    @Test func whoIsSilentMakesWay() {
        var visitors = full(at: .seconds(100))
        #expect(!visitors.hasRoom(at: .milliseconds(100_499)))
        #expect(visitors.hasRoom(at: .milliseconds(100_500)))
        #expect(visitors.admit(99, at: .milliseconds(100_500)) == 0)
        #expect(visitors.admit(98, at: .milliseconds(100_500)) == 1)
        #expect(visitors.all.count == Visitors<Int>.most)
    }

    @Test func whoSpeaksIsHeardAndLeavesRoom() {
        var visitors = full(at: .zero)
        var dismissed: [Int] = []
        let heard = visitors.hear(
            at: .seconds(1), { $0 == 3 ? .said("hello") : $0 == 4 ? .left : .nothing },
            dismiss: { dismissed.append($0) })
        #expect(heard.map(\.visitor) == [3] && heard.map(\.said) == ["hello"] && dismissed == [4])
        #expect(visitors.all.count == Visitors<Int>.most - 2 && visitors.hasRoom(at: .zero))
    }

    @Test func nobodyStaysSilentForLong() {
        var visitors = full(at: .seconds(5))
        var dismissed = 0
        func listen(at now: Duration) {
            _ = visitors.hear(at: now, { _ in Visitors<Int>.Word<Never>.nothing }, dismiss: { _ in dismissed += 1 })
        }
        listen(at: .milliseconds(14_999))
        #expect(dismissed == 0)
        listen(at: .seconds(15))
        #expect(dismissed == Visitors<Int>.most && visitors.all.isEmpty)
    }
}
