import Glibc

/// Who was inside when, by what the commands themselves have written: see Tests/Worker.
struct Timeline {
    struct Entry {
        let name: String
        let slot: Int
        let token: Int64
        /// Nanoseconds of CLOCK_BOOTTIME.
        let start: Int64
        /// The last sign of life of any of its processes.
        var last: Int64
        /// It left in good order.
        var hasLeft = false
    }

    /// By the same clock.
    static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// In the order of their entry.
    private(set) var entries: [Entry] = []

    init(_ log: String) {
        for line in log.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 3, let time = Int64(words[2]) else { continue }
            let name = String(words[1])
            if words[0] == "in", words.count == 5 {
                entries.append(
                    Entry(name: name, slot: Int(words[3]) ?? 0, token: Int64(words[4]) ?? 0, start: time, last: time))
            } else if let index = entries.lastIndex(where: { $0.name == name }) {
                entries[index].last = max(entries[index].last, time)
                if words[0] == "out" { entries[index].hasLeft = true }
            }
        }
        entries.sort { $0.start < $1.start }
    }

    var names: [String] { entries.map(\.name) }

    func entry(_ name: String) -> Entry? { entries.last { $0.name == name } }

    /// Nanoseconds from the last sign of life of one to the entry of the next on the same slot, where it is smallest.
    var smallestMargin: Int64? {
        Dictionary(grouping: entries, by: \.slot).values.flatMap { turns in
            zip(turns, turns.dropFirst()).map { $1.start - $0.last }
        }.min()
    }

    /// What went wrong, if anything.
    var complaint: String? {
        for turns in Dictionary(grouping: entries, by: \.slot).values {
            for (index, entry) in turns.enumerated() {
                for other in turns[..<index] where other.last > entry.start {
                    return "\(entry.name) came in \((other.last - entry.start) / 1000) µs before \(other.name) was gone"
                }
            }
            for (one, next) in zip(turns, turns.dropFirst()) where one.token >= next.token {
                return "the token of \(next.name) isn't higher than that of \(one.name)"
            }
        }
        return nil
    }
}
