import Glibc
import Testing

@testable import SSHTransport

@Suite struct OverheardTests {
    private func note(_ bytes: [UInt8], in overheard: inout Overheard) {
        bytes.withUnsafeBytes { overheard.note($0) }
    }

    private func exitStatus(_ channel: UInt32, _ status: UInt32) -> [UInt8] {
        var bytes: [UInt8] = [98]
        bytes.append(sshNumber: channel)
        bytes.append(sshBytes: "exit-status".utf8)
        bytes.append(0)
        bytes.append(sshNumber: status)
        return bytes
    }

    @Test func aStatusIsToldApartFromNone() {
        var overheard = Overheard()
        overheard.watch(3)
        overheard.watch(4)
        note(exitStatus(3, 0), in: &overheard)
        note(exitStatus(5, 1), in: &overheard)
        #expect(overheard.status(of: 3) == 0)
        #expect(overheard.status(of: 4) == nil)
        #expect(overheard.status(of: 5) == nil)
    }

    @Test func theFirstStatusCounts() {
        var overheard = Overheard()
        overheard.watch(3)
        note(exitStatus(3, 7), in: &overheard)
        note(exitStatus(3, 0), in: &overheard)
        #expect(overheard.status(of: 3) == 7)
    }

    @Test func aRefusedKeyTellsWhatElseThereIs() {
        var overheard = Overheard()
        var bytes: [UInt8] = [51]
        bytes.append(sshBytes: "publickey,password".utf8)
        note(bytes + [0], in: &overheard)
        #expect(overheard.methods == ["publickey", "password"])
        #expect(!overheard.wantsMore)
        note(bytes + [1], in: &overheard)
        #expect(overheard.wantsMore)
        #expect(overheard.refusals == 2)
    }

    @Test func aRefusedChannelHasAReason() {
        var overheard = Overheard()
        var bytes: [UInt8] = [92]
        bytes.append(sshNumber: 0)
        bytes.append(sshNumber: 4)
        note(bytes + [0, 0, 0, 0], in: &overheard)
        #expect(overheard.refusal == "reason 4")
        bytes.append(sshBytes: "open failed".utf8)
        note(bytes, in: &overheard)
        #expect(overheard.refusal == "open failed")
    }

    @Test func aMessageThatIsCutAnywhereIsNoHarm() {
        let whole = exitStatus(3, 9)
        for length in 0..<whole.count {
            var overheard = Overheard()
            overheard.watch(3)
            note(Array(whole.prefix(length)), in: &overheard)
            #expect(overheard.status(of: 3) == nil)
        }
        var overheard = Overheard()
        for _ in 0..<10_000 {
            let type: UInt8 = [51, 91, 92, 98].randomElement()!
            note([type] + (0..<Int.random(in: 0...40)).map { _ in UInt8.random(in: 0...255) }, in: &overheard)
        }
    }

    @Test func memoryIsBoundedAndGivenBack() {
        let memory = SessionMemory(isLeaky: false)
        var seen: [Int] = []
        memory.lastLook = { seen.append($0.count) }
        let first = memory.allocate(100)
        #expect(memory.used == 100)
        let second = memory.resize(first, to: 200)
        #expect(memory.used == 200)
        #expect(memory.allocate(SessionMemory.limit) == nil)
        #expect(memory.isExhausted)
        memory.free(second)
        #expect(memory.used == 0)
        #expect(seen == [200])
        // What it didn't allocate is freed all the same.
        memory.free(malloc(10))
        #expect(memory.used == 0)
    }
}
