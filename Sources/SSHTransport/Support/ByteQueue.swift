internal import Glibc

/// Bytes that wait to go on, first in, first out, in one piece of memory that moves only when it is full.
final class ByteQueue {
    private var storage: UnsafeMutableRawPointer
    private var capacity: Int
    private var head = 0
    private var tail = 0

    init(capacity: Int) {
        self.capacity = capacity
        storage = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit { storage.deallocate() }

    var count: Int { tail - head }
    var isEmpty: Bool { head == tail }

    /// The oldest bytes, until the next change.
    var front: UnsafeMutableRawBufferPointer { .init(start: storage + head, count: count) }

    func append(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress, bytes.count > 0 else { return }
        let room = room(for: bytes.count)
        room.baseAddress!.copyMemory(from: start, byteCount: bytes.count)
        tail += bytes.count
    }

    /// Memory behind the newest byte for at least so many more, to be claimed by ``grow(by:)``.
    func room(for more: Int) -> UnsafeMutableRawBufferPointer {
        if capacity - tail < more {
            let length = count
            if capacity - length >= more, head >= length {
                storage.copyMemory(from: storage + head, byteCount: length)
            } else {
                let larger = max(capacity * 2, length + more)
                let new = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
                new.copyMemory(from: storage + head, byteCount: length)
                storage.deallocate()
                storage = new
                capacity = larger
            }
            head = 0
            tail = length
        }
        return .init(start: storage + tail, count: capacity - tail)
    }

    func grow(by length: Int) { tail += length }

    func consume(_ length: Int) {
        head += length
        if head == tail {
            head = 0
            tail = 0
        }
    }

    func removeAll() {
        head = 0
        tail = 0
    }
}
