internal import Glibc

/// One address of a host.
struct Address: Hashable, Sendable {
    var family: Int32
    /// A `sockaddr` of that family.
    var bytes: [UInt8]

    init(family: Int32, bytes: [UInt8]) {
        self.family = family
        self.bytes = bytes
    }

    /// Of the other end of a socket.
    init?(peerOf socket: Int32) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let error = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(socket, $0, &length) }
        }
        guard error == 0 else { return nil }
        let bytes = withUnsafeBytes(of: storage) { [UInt8]($0.prefix(Int(length))) }
        self.init(family: Int32(storage.ss_family), bytes: bytes)
    }

    /// What getaddrinfo(3) finds, in its order, each once.
    static func list(_ first: UnsafeMutablePointer<addrinfo>?) -> [Address] {
        var result: [Address] = []
        var next = first
        while let info = next?.pointee {
            let bytes = UnsafeRawBufferPointer(start: info.ai_addr, count: Int(info.ai_addrlen))
            let address = Address(family: info.ai_family, bytes: [UInt8](bytes))
            if !result.contains(address) { result.append(address) }
            next = info.ai_next
        }
        return result
    }

    /// As it is written.
    var text: String {
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let failed = bytes.withUnsafeBytes { raw in
            getnameinfo(
                raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count),
                &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST)
        }
        guard failed == 0 else { return "an address of family \(family)" }
        return host.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }
}
