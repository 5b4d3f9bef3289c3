import Foundation
import Glibc
import Testing

@testable import SemQueue

/// What happened, kept within bounds.
@Suite struct HistoryTests {
    private let folder = Folder()

    private func size(_ name: String) -> Int {
        var info = stat()
        return stat(folder.path(name), &info) == 0 ? Int(info.st_size) : -1
    }

    @Test func eventsComeBackInTheirOrder() {
        let history = History(of: folder.path("q"))
        for time in [3, 1, 2] as [Int64] {
            history.append(.paused, at: Timestamp(time), [("reason", .string("number \(time)\nand a \"quote\""))])
        }
        let reasons = history.lines().map { line in
            JSONReader.members(of: line)?.first { $0.name == "reason" }.map { "\($0.value)" }
        }
        #expect(reasons == [1, 2, 3].map { "\(JSON.string("number \($0)\nand a \"quote\""))" })
    }

    @Test func itIsBoundedAndKeepsTheNewest() {
        let history = History(of: folder.path("q"))
        let other = History(of: folder.path("q"))
        let text = String(repeating: "x", count: 1000)
        for number in 0..<4000 {
            (number.isMultiple(of: 2) ? history : other).append(
                .paused, at: Timestamp(Int64(number)), [("number", .integer(Int64(number))), ("reason", .string(text))])
        }
        #expect(size("q.history") < Int(History.limit) + 2000)
        #expect(size("q.history.1") < Int(History.limit) + 2000)
        let lines = history.lines()
        #expect(lines.count > 900)
        #expect(lines.last?.contains("\"number\": 3999") == true)
        #expect(lines.allSatisfy { JSONReader.members(of: $0) != nil })
    }

    @Test func aHistoryThatCannotBeWrittenStopsNothing() {
        mkdir(folder.path("q.history"), 0o700)
        defer { rmdir(folder.path("q.history")) }
        History(of: folder.path("q")).append(.resumed, at: Timestamp(1), [])
        #expect(History(of: folder.path("q")).lines().isEmpty)
    }

    /// A full disk takes a part of a line.
    @Test func aTornLineCostsNoOther() throws {
        let history = History(of: folder.path("q"))
        history.append(.resumed, at: Timestamp(1), [])
        let whole = try #require(history.lines().first)
        #expect(truncate(folder.path("q.history"), off_t(size("q.history") - 9)) == 0)
        History(of: folder.path("q")).append(.resumed, at: Timestamp(2), [])
        history.append(.resumed, at: Timestamp(3), [])
        let lines = history.lines()
        #expect(lines.count == 3 && lines.first == String(whole.dropLast(8)))
        #expect(lines.dropFirst().allSatisfy { JSONReader.members(of: $0) != nil })
    }

    /// Who writes can't know whether what it sees of another's line is all of it.
    @Test func manyWhoWriteAtOnceLeaveLinesAndNothingElse() throws {
        let path = folder.path("q")
        let threads = try (0..<4).map { number in
            try BlockingThread.start {
                let text = JSON.string(String(repeating: "x", count: 100 + 60 * number))
                let history = History(of: path)
                for time in 0..<800 { history.append(.paused, at: Timestamp(Int64(time)), [("reason", text)]) }
            }
        }
        for thread in threads { thread.join() }
        let text = try String(contentsOfFile: path + ".history", encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.last == "" && lines.count == 3201)
        #expect(lines.dropLast().allSatisfy { JSONReader.members(of: String($0)) != nil })
    }

    @Test func oneThatWasDeletedIsMadeAnew() {
        let history = History(of: folder.path("q"))
        history.append(.resumed, at: Timestamp(1), [])
        unlink(folder.path("q.history"))
        history.append(.resumed, at: Timestamp(2), [])
        #expect(history.lines().count == 1)
    }
}
