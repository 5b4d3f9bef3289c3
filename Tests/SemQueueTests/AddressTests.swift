import Testing

@testable import SemQueue

/// Where a name points: here, or to another host.
@Suite struct AddressTests {
    @Test(arguments: [
        ("board.queue", Address.local(path: "board.queue")),
        ("/srv/board.queue", .local(path: "/srv/board.queue")),
        ("./a:b", .local(path: "./a:b")),
        ("/srv/a:b", .local(path: "/srv/a:b")),
        ("bench:board.queue", .remote(Address.Host(name: "bench"), path: "board.queue")),
        ("ann@bench:/srv/b", .remote(Address.Host(name: "bench", user: "ann"), path: "/srv/b")),
        ("bench:a:b", .remote(Address.Host(name: "bench"), path: "a:b")),
        ("ssh://ann@bench:2222/srv/b", .remote(Address.Host(name: "bench", user: "ann", port: 2222), path: "/srv/b")),
        ("ssh://bench/~/b", .remote(Address.Host(name: "bench"), path: "b")),
        ("[fe80::1]:b", .remote(Address.Host(name: "fe80::1"), path: "b")),
        ("ssh://ann@[::1]:22/b", .remote(Address.Host(name: "::1", user: "ann", port: 22), path: "/b")),
    ])
    func namesWhatItSays(_ text: String, _ address: Address) throws {
        #expect(try Address(text) == address)
    }

    @Test(arguments: [
        "", ":", ":path", "host:", "ssh://", "ssh://host", "ssh://host/", "a\0b", "-oProxyCommand=x:q", "a@-x:q",
        "@a:q",
        "ssh://a:0/q", "ssh://a:70000/q", "ssh://a:x/q", "a b:q",
    ])
    func refusesWhatNamesNothing(_ text: String) {
        let error = #expect(throws: SemaphoreError.self) { try Address(text) }
        #expect(error?.code == .usage)
    }

    @Test(arguments: [
        ("fe80::1:q", "fe80::1"), ("ann@2001:db8::1:/srv/q", "2001:db8::1"), ("::1:q", "::1"),
        ("1:2:3:4:5:6:7:8:q", "1:2:3:4:5:6:7:8"), ("ssh://ann@fe80::1/q", "fe80::1"), ("ssh://::1/q", "::1"),
    ])
    func wantsBracketsAroundAnIPv6Address(_ text: String, _ address: String) {
        let error = #expect(throws: SemaphoreError.self) { try Address(text) }
        #expect(error?.code == .usage)
        #expect(error?.message.contains("an IPv6 address stands in brackets: [\(address)]") == true)
    }

    @Test(arguments: ["cafe:a:b", "bench::q", "cafe:1:2:3", "a:/b::c"])
    func otherColonsAreThePaths(_ text: String) throws {
        let address = try Address(text)
        guard case .remote(let host, let path) = address else {
            Issue.record("\(address)")
            return
        }
        #expect("\(host):\(path)" == text)
    }
}
