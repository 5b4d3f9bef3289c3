import Foundation
import Testing

@testable import SemQueue

/// JSON as others read it.
@Suite struct JSONTests {
    @Test(arguments: [
        "plain", "", "quote \" and \\ backslash", "line\nbreak\ttab", "\u{1b}[0m\u{7f}\u{0}", "漢字 ✓ é",
        "\u{202e}turned",
    ])
    func stringsComeBack(_ text: String) throws {
        let json = JSON.object([("key", .string(text))])
        let foreign = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: String]
        #expect(foreign == ["key": text])
        let own = JSONReader.members(of: json.text)
        #expect(own?.count == 1)
        if case .string(let value) = own?.first?.value { #expect(value == text) } else { Issue.record("no string") }
    }

    @Test func structureComesBack() throws {
        let json = JSON.object([("a", .array([.integer(-1), .null, .bool(true)])), ("b", .object([]))])
        #expect(json.text == #"{"a": [-1, null, true], "b": {}}"#)
        #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data(json.utf8)) }
    }

    @Test(arguments: [
        "", "{", "[]", "{\"a\"}", "{\"a\": }", "{\"a\": \"b}", "{\"a\": \"\\u12", "garbage",
        "{\"a\": 99999999999999999999}",
    ])
    func whatIsNoFlatObjectIsRefused(_ text: String) {
        #expect(JSONReader.members(of: text) == nil)
    }
}
