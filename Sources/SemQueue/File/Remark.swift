/// What a holder's guardian tells of its turn beside the record, such as what of the command still runs. For people.
///
/// A line of its own, behind all that older readers know of.
struct Remark: Equatable {
    var queue: UInt64
    /// The turn that it belongs to; one of before means nothing.
    var token: Int64
    var text: String

    /// The remark on the turn of a slot, if there is one.
    static func on(_ slot: Int, token: Int64, in description: Description) -> String? {
        let remark = QueueFile.record(Remark.self, at: line(of: slot), from: description)
        return remark?.token == token ? remark?.text : nil
    }

    /// The lines of the first slots, to see whether any has changed.
    static func all(_ concurrency: Int, from description: Description) -> [UInt8] {
        QueueFile.readLines(QueueFile.remarkLines.prefix(min(concurrency, 16)), from: description)
    }

    /// A write that fails costs nothing but the remark.
    func write(of slot: Int, to description: Description) {
        QueueFile.write(line, at: Self.line(of: slot), to: description)
    }

    private static func line(of slot: Int) -> Int { QueueFile.remarkLines.lowerBound + slot }
}

extension Remark: LineRecord {
    init?(line: ArraySlice<UInt8>) {
        guard var reader = Line.Reader("remark", line), let queue = reader.queue(),
            let token = reader.integer("token"), let text = reader.text()
        else { return nil }
        self.init(queue: queue, token: token, text: text)
    }

    var line: [UInt8] {
        var writer = Line.Writer("remark")
        writer.queue(queue)
        writer.field("token", token)
        writer.text(text)
        return writer.finish()
    }
}
