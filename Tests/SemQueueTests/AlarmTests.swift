import Glibc
import Testing

@testable import SemQueue

/// A blocked call ends when it should, from whatever thread.
@Suite struct AlarmTests {
    private func forEver() -> Int32 {
        var pause = timespec(tv_sec: 3600, tv_nsec: 0)
        return nanosleep(&pause, nil) == 0 ? 0 : EINTR
    }

    private func never() -> Int32 {
        Issue.record("timers are to be had")
        return EAGAIN
    }

    @Test func aCallEndsInTime() {
        #expect(Alarm().limiting(.milliseconds(5), instead: never, forEver) == EINTR)
    }

    @Test func aCallThatEndsByItselfIsLeftAlone() {
        #expect(Alarm().limiting(.seconds(60), instead: never) { 7 } == 7)
    }

    @Test func ringingEndsACallFromAnotherThreadHoweverItMeetsIt() throws {
        for _ in 0..<200 {
            let alarm = Alarm()
            let thread = try BlockingThread.start { alarm.ring() }
            #expect(alarm.limiting(nil, instead: never, forEver) == EINTR)
            thread.join()
            #expect(alarm.isRung)
            #expect(alarm.limiting(nil, instead: never, forEver) == EINTR)
        }
    }

    @Test func aNudgeEndsOneCallAndIsNotLost() throws {
        for _ in 0..<200 {
            let alarm = Alarm()
            let thread = try BlockingThread.start { alarm.nudge() }
            #expect(alarm.limiting(nil, instead: never, forEver) == EINTR)
            thread.join()
            #expect(!alarm.isRung)
            #expect(alarm.limiting(nil, instead: never) { 3 } == 3)
        }
    }
}
