internal import Glibc

/// Which queue a name stands for, as far as that can be told without asking twice: copies of a file, and cloned disks,
/// have the same. Whether two of one identity are one queue, a ``QueueProbe`` tells. The order is that in which
/// several are taken.
package struct QueueIdentity: Hashable, Comparable, Sendable {
    /// The queue's random name.
    var queue: UInt64
    /// The kernel that keeps its locks, by the boot; 0 where that isn't told. Copies on two hosts are ordered by it.
    var boot: UInt64 = 0
    /// Copies on one host are ordered by these.
    var device: UInt64 = 0
    var inode: UInt64 = 0

    init(queue: UInt64, _ file: QueueFile.Identity, boot: UInt64 = BootTime.clock().boot) {
        (self.queue, self.boot, device, inode) = (queue, boot, file.device, file.inode)
    }

    /// By what the file system tells: no proof, since cloned disks have the same numbers, and views of a file others.
    func isSameFile(as other: QueueIdentity) -> Bool {
        boot != 0 && (boot, device, inode) == (other.boot, other.device, other.inode)
    }

    package static func < (left: QueueIdentity, right: QueueIdentity) -> Bool {
        (left.queue, left.boot, left.device, left.inode) < (right.queue, right.boot, right.device, right.inode)
    }
}

// MARK: as a message

extension QueueIdentity {
    private static func digits(_ number: UInt64) -> String { String(number, radix: 16) }

    var fields: [(name: String, value: String)] {
        [
            ("queue", Self.digits(queue)), ("boot", Self.digits(boot)), ("device", Self.digits(device)),
            ("inode", Self.digits(inode)),
        ]
    }

    /// An older agent tells the queue's name alone.
    init?(_ message: Message) {
        func number(_ name: String) -> UInt64? { message[name].flatMap { UInt64($0, radix: 16) } }
        guard let queue = number("queue") else { return nil }
        let file = QueueFile.Identity(device: number("device") ?? 0, inode: number("inode") ?? 0)
        self.init(queue: queue, file, boot: number("boot") ?? 0)
    }
}
