internal import Glibc

/// `ServerAliveInterval` and `ServerAliveCountMax`, as TCP can do them: a peer that has fallen silent is given up
/// about as fast as `ssh` would. libssh2's own keep-alive detects nothing.
struct KeepAlive: Hashable {
    var interval: Duration
    var count: Int

    func apply(to socket: Int32) {
        let seconds = Int32(clamping: max(1, interval.components.seconds))
        let count = Int32(clamping: max(1, count))
        set(socket, SOL_SOCKET, SO_KEEPALIVE, 1)
        set(socket, Int32(IPPROTO_TCP), TCP_KEEPIDLE, seconds)
        set(socket, Int32(IPPROTO_TCP), TCP_KEEPINTVL, seconds)
        set(socket, Int32(IPPROTO_TCP), TCP_KEEPCNT, count)
        set(socket, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, Int32(clamping: Int64(seconds) * Int64(count) * 1000))
    }

    private func set(_ socket: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        setsockopt(socket, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}
