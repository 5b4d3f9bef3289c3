import Foundation
import Testing

@testable import SSHTransport

@Suite struct DialerTests {
    private func address(_ last: UInt8, _ port: Int) -> Address {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = (UInt32(0x7f00_0000) + UInt32(last)).bigEndian
        return Address(family: AF_INET, bytes: withUnsafeBytes(of: &address) { Array($0) })
    }

    private func dialer(_ addresses: [Address], limit: Duration = .seconds(10)) -> Dialer {
        Dialer(
            endpoint: Endpoint(alias: "lab", hostName: "lab.example", port: 22), addresses: addresses, limit: limit,
            cancellation: SSHCancellation())
    }

    @Test func theNextAddressIsTriedWhereOneRefuses() throws {
        let server = try FakeServer { _ in }
        let closed = try FakeServer { _ in }.port
        close(try dialer([address(1, closed), address(1, server.port)]).connect())
    }

    @Test func theNextAddressIsTriedWhereOneIsSilent() throws {
        let (silent, server) = (try FullListener(), try FakeServer { _ in })
        let began = ContinuousClock.now
        close(try dialer([address(1, silent.port), address(1, silent.port), address(1, server.port)]).connect())
        #expect(ContinuousClock.now - began < .seconds(5))
    }

    @Test func eachFailureIsTold() throws {
        let closed = try FakeServer { _ in }.port
        let error = try #require(throws: SSHError.self) {
            try dialer([address(1, closed), address(2, closed)]).connect()
        }
        #expect(error.kind == .unreachable)
        #expect(
            error.message == "can't connect to lab (lab.example:22): 127.0.0.1: Connection refused, "
                + "127.0.0.2: Connection refused; does an SSH server run there, and is 22 its port?")
    }

    /// What to do, by what happened; the address that was typed is named once.
    @Test(arguments: [
        (
            "10.1.1.1", [("10.1.1.1", ECONNREFUSED)],
            "Connection refused; does an SSH server run there, and is 22 its port?"
        ),
        (
            "lab", [("10.1.1.1", EHOSTUNREACH), ("10.1.1.2", ECONNREFUSED)],
            "10.1.1.1: No route to host, 10.1.1.2: Connection refused; does an SSH server run there, and is 22 its port?"
        ),
        (
            "lab", [("10.1.1.1", EHOSTUNREACH)],
            "10.1.1.1: No route to host; is the host up, and does a firewall let it through?"
        ),
        (
            "2001:db8::1", [("2001:db8::1", ENETUNREACH)],
            "Network is unreachable; is this machine's network up, and does it lead there?"
        ),
        (
            "fe80::1", [("fe80::1", EINVAL)],
            "Invalid argument; a link-local address needs the interface that it is behind: fe80::1%eth0"
        ),
    ]) func whatToDoIsTold(_ host: String, _ failed: [(String, Int32)], _ text: String) {
        let endpoint = Endpoint(alias: host, hostName: host, port: 22)
        var failures = ConnectFailures(endpoint)
        for (address, error) in failed { failures.add(address, error) }
        #expect(failures.message == "can't connect to \(endpoint.description): \(text)")
    }

    @Test func noAddressAtAll() throws {
        let error = try #require(throws: SSHError.self) { try dialer([]).connect() }
        #expect(error.message == "can't connect to lab (lab.example:22): no address")
    }

    @Test func bothFamiliesAreResolved() throws {
        let resolver = Resolver(
            endpoint: Endpoint(alias: "::1", hostName: "::1", port: 2222), family: AF_UNSPEC, limit: .seconds(10),
            cancellation: SSHCancellation())
        let addresses = try resolver.addresses()
        #expect(addresses.map(\.text) == ["::1"])
        #expect(addresses.map(\.family) == [AF_INET6])
        #expect(Endpoint(alias: "::1", hostName: "::1", port: 2222).description == "[::1]:2222")
    }

    @Test func aNameIsLookedUp() throws {
        let resolver = Resolver(
            endpoint: Endpoint(alias: "localhost", hostName: "localhost", port: 22), family: AF_INET,
            limit: .seconds(10), cancellation: SSHCancellation())
        #expect(try resolver.addresses().map(\.text) == ["127.0.0.1"])
    }
}
