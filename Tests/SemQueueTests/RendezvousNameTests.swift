import Glibc
import Testing

@testable import SemQueue

/// By which names an agent is asked for.
@Suite struct RendezvousNameTests {
    private static let socket = "0123456789abcdef0123456789abcdef"
    private static let own = "fedcba9876543210"

    @Test func namesAreReadAsTheyAreTold() {
        let names = RendezvousName.random()
        for name in names { #expect(RendezvousName(name.text) == name) }
        let user = geteuid()
        #expect(names[0].folder == "/tmp/semq-\(user)")
        #expect(names[1].folder == "/tmp/semq-\(user)-\(names[1].own ?? "")")
        #expect(names.last?.folder == nil && names.last?.text.utf8.count == 32, "what older agents have, too")
        #expect(Set(names.map(\.socket)).count == 1)
        // An agent of before the folders takes names of up to so many bytes, and finds nobody by them.
        #expect(names.allSatisfy { $0.text.utf8.count <= 64 })
    }

    /// It comes from a client, which may have a key that can only take turns.
    @Test(arguments: [
        "", "-", "none", "tmp", "tmp-", "tmp-x", "../\(socket)", "tmp-/etc-\(socket)", "tmp-..-\(socket)",
        "tmp-\(own)-\(own)-\(socket)", "home-\(socket)", "-\(socket)", "tmp--\(socket)", "tmp-\(socket)/x",
        "tmp-\(socket.uppercased())", "\(socket)0", "tmp-\(own)0-\(socket)", "tmp-\(socket)\0",
    ]) func whatIsNoName(_ text: String) {
        #expect(RendezvousName(text) == nil)
    }
}
