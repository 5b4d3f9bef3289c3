import Testing

@testable import SemQueue

/// Where a name points: here, or to another host.
@Suite struct AddressTests {
    @Test(arguments: [
        ("board.queue", Address.local(path: "board.queue")),
        ("/srv/board.queue", .local(path: "/srv/board.queue")),
        ("./a:b", .local(path: "./a:b")),
        ("/srv/a:b", .local(path: "/srv/a:b")),
        ("bench:board.queue", .remote(host: "bench", path: "board.queue")),
        ("ann@bench:/srv/b", .remote(host: "ann@bench", path: "/srv/b")),
        ("bench:a:b", .remote(host: "bench", path: "a:b")),
        ("ssh://ann@bench:2222/srv/b", .remote(host: "ann@bench:2222", path: "/srv/b")),
    ])
    func namesWhatItSays(_ text: String, _ address: Address) throws {
        #expect(try Address(text) == address)
    }

    @Test(arguments: ["", ":", ":path", "host:", "ssh://", "ssh://host", "ssh://host/", "a\0b"])
    func refusesWhatNamesNothing(_ text: String) {
        let error = #expect(throws: SemaphoreError.self) { try Address(text) }
        #expect(error?.code == .usage)
    }
}
