import Glibc
import Testing

@testable import SemQueue

/// A blocked call ends when it should, from whatever thread.
@Suite struct AlarmTests {
    private func forEver() -> Int32 {
        var pause = timespec(tv_sec: 3600, tv_nsec: 0)
        return nanosleep(&pause, nil) == 0 ? 0 : EINTR
    }

    @Test func aCallEndsInTime() {
        #expect(Alarm().limiting(.milliseconds(5), forEver) == EINTR)
    }

    @Test func aCallThatEndsByItselfIsLeftAlone() {
        #expect(Alarm().limiting(.seconds(60)) { 7 } == 7)
    }

    @Test func ringingEndsACallFromAnotherThreadHoweverItMeetsIt() throws {
        for _ in 0..<200 {
            let alarm = Alarm()
            let thread = try BlockingThread.start { alarm.ring() }
            #expect(alarm.limiting(nil, forEver) == EINTR)
            thread.join()
            #expect(alarm.isRung)
            #expect(alarm.limiting(nil, forEver) == EINTR)
        }
    }

    @Test func aNudgeEndsOneCallAndIsNotLost() throws {
        for _ in 0..<200 {
            let alarm = Alarm()
            let thread = try BlockingThread.start { alarm.nudge() }
            #expect(alarm.limiting(nil, forEver) == EINTR)
            thread.join()
            #expect(!alarm.isRung)
            #expect(alarm.limiting(nil) { 3 } == 3)
        }
    }
}
