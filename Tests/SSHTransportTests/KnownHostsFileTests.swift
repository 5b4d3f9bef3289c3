import Foundation
import SemQueueTestSupport
import Synchronization
import Testing

@testable import SSHTransport

/// A host's key is added once, whole, and only where nothing was known.
@Suite struct KnownHostsFileTests {
    private let workshop: Workshop
    private let key: SSHPublicKey

    init() throws {
        workshop = try Workshop()
        key = try workshop.key("key")
    }

    private func add(_ key: SSHPublicKey? = nil, host: String = "bench", port: Int? = 22, isHashed: Bool = false)
        throws(FileProblem) -> KnownHostsFile.Addition
    {
        try KnownHostsFile(workshop.path("known_hosts")).add(
            key ?? self.key, host: host, port: port, isHashed: isHashed)
    }

    @Test(arguments: [("Bench", 22, "bench"), ("bench", 2222, "[bench]:2222"), ("fe80::1", 2222, "[fe80::1]:2222")])
    func openSSHFindsWhatWasAdded(_ host: String, _ port: Int, _ name: String) throws {
        #expect(try add(host: host, port: port) == .added)
        #expect(workshop.lines("known_hosts") == ["\(name) \(key.line)"])
        #expect(try add(host: host, port: port) == .alreadyThere)
        try workshop.run("ssh-keygen", "-F", name, "-f", workshop.path("known_hosts"))
    }

    @Test func aHashedNameIsFoundAndNotSeen() throws {
        #expect(try add(port: 2222, isHashed: true) == .added)
        #expect(try add(host: "other", isHashed: true) == .added)
        #expect(try add(port: 2222, isHashed: true) == .alreadyThere)
        let path = workshop.path("known_hosts")
        #expect(!workshop.read("known_hosts").contains("bench"))
        #expect(try workshop.run("ssh-keygen", "-F", "[bench]:2222", "-f", path).contains("found: line 1"))
        #expect(try workshop.run("ssh-keygen", "-F", "other", "-f", path).contains("found: line 2"))
        try workshop.run("ssh-keygen", "-F", "bench", "-f", path, status: 1)
    }

    @Test func anAliasIsWrittenAsItIs() throws {
        #expect(try add(host: "Board-7", port: nil) == .added)
        #expect(workshop.lines("known_hosts") == ["board-7 \(key.line)"])
    }

    @Test func nothingIsAddedForAHostThatIsKnown() throws {
        let other = try workshop.key("other")
        let ecdsa = try workshop.key("ecdsa", type: "ecdsa")
        for text in ["bench \(other.line)\n", "bench \(ecdsa.line)\n", "@revoked * \(key.line)\n"] {
            try workshop.write("known_hosts", text)
            guard case .refused = try add() else {
                Issue.record("a key was added behind \(text)")
                continue
            }
            #expect(workshop.read("known_hosts") == text)
        }
    }

    @Test func aLastLineWithoutItsEndStaysWhole() throws {
        try workshop.write("known_hosts", "other \(key.line)")
        #expect(try add() == .added)
        #expect(workshop.lines("known_hosts") == ["other \(key.line)", "bench \(key.line)"])
    }

    @Test func theFolderIsMadeForItsOwnerOnly() throws {
        let file = KnownHostsFile(workshop.path(".ssh/known_hosts"))
        #expect(try file.add(key, host: "bench", port: 22, isHashed: false) == .added)
        let modes = try [".ssh", ".ssh/known_hosts"].map {
            try FileManager.default.attributesOfItem(atPath: workshop.path($0))[.posixPermissions] as? Int
        }
        #expect(modes == [0o700, 0o600])
    }

    /// Two first connections at once, and fourteen more.
    @Test(arguments: [false, true]) func ofManyAtOnceOneWrites(_ isHashed: Bool) {
        let path = workshop.path("known_hosts")
        let key = key
        let (results, failures) = Parallel.untilNil(width: 16) { number in
            number > 16 ? nil : try KnownHostsFile(path).add(key, host: "bench", port: 22, isHashed: isHashed)
        }
        #expect(failures == [])
        #expect(results.count { $0 == .added } == 1)
        #expect(results.count { $0 == .alreadyThere } == 15)
        #expect(workshop.lines("known_hosts").count == 1)
    }

    @Test func ofTwoThatWereShownDifferentKeysOneIsRefused() throws {
        let path = workshop.path("known_hosts")
        let keys = [key, try workshop.key("other")]
        let (results, failures) = Parallel.untilNil(width: 2) { number in
            number > 2
                ? nil : try KnownHostsFile(path).add(keys[number - 1], host: "bench", port: 22, isHashed: false)
        }
        #expect(failures == [])
        #expect(results.count == 2)
        #expect(results.count { $0 == .added } == 1)
        #expect(workshop.lines("known_hosts").count == 1)
    }

    @Test func aLockThatIsNotGivenBackIsSaid() throws {
        let path = try workshop.write("known_hosts", "")
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        #expect(flock(descriptor, LOCK_EX) == 0)
        let problem = #expect(throws: FileProblem.self) {
            try KnownHostsFile(path, patience: .zero).add(key, host: "bench", port: 22, isHashed: false)
        }
        #expect(problem?.message == "\(path): another program keeps it locked; `fuser -v \(path)` tells which")
        #expect(workshop.read("known_hosts") == "")
    }

    private static func descriptors(of path: String) -> Int {
        let folder = "/proc/self/fd"
        return (try? FileManager.default.contentsOfDirectory(atPath: folder))?.count {
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)")) == path
        } ?? 0
    }

    /// As `ssh-keygen -R` does it.
    @Test func aFileThatIsReplacedWhileWaitingIsOpenedAgain() throws {
        let path = try workshop.write("known_hosts", "# old\n")
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        #expect(flock(descriptor, LOCK_EX) == 0)
        let key = key
        let added = Mutex<KnownHostsFile.Addition?>(nil)
        Thread.detachNewThread {
            let result = try? KnownHostsFile(path, patience: .seconds(60)).add(
                key, host: "bench", port: 22, isHashed: false)
            added.withLock { $0 = result }
        }
        // Until it waits for the lock of the old file.
        #expect(Event.happens { Self.descriptors(of: path) == 2 })
        try workshop.write("replacement", "# new\n")
        #expect(rename(workshop.path("replacement"), path) == 0)
        close(descriptor)
        #expect(Event.happens { added.withLock { $0 } == .added })
        #expect(workshop.lines("known_hosts") == ["# new", "bench \(key.line)"])
    }

    @Test func onAFullDiskNoHalfLineIsLeft() throws {
        guard Machine.has(.root) else { return }
        let disk = workshop.path("disk")
        mkdir(disk, 0o700)
        try workshop.run("mount", "-t", "tmpfs", "-o", "size=8k", "none", disk)
        defer { umount2(disk, Int32(MNT_DETACH)) }
        // All but 30 bytes of two pages.
        let text = String(repeating: "# full\n", count: 8162 / 7)
        try workshop.write("disk/known_hosts", text)
        let path = "\(disk)/known_hosts"
        let problem = #expect(throws: FileProblem.self) {
            try KnownHostsFile(path).add(key, host: "bench", port: 22, isHashed: false)
        }
        #expect(
            problem?.message == "\(path): can't write a host's key to it: No space left on device; make room there")
        #expect(workshop.read("disk/known_hosts") == text)
    }

    @Test func aMissingFolderAboveTheOneThatIsMadeIsSaid() throws {
        let path = workshop.path("a/b/known_hosts")
        let problem = #expect(throws: FileProblem.self) {
            try KnownHostsFile(path).add(key, host: "bench", port: 22, isHashed: false)
        }
        #expect(problem?.message == "\(path): can't write a host's key to it: No such file or directory")
    }
}
