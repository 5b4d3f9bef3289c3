import Foundation
import SemQueueTestSupport
import Testing

@testable import SSHTransport

/// A real ssh-agent of its own.
final class TestAgent {
    let socket: String
    let pid: pid_t
    private let workshop: Workshop

    init(_ workshop: Workshop) throws {
        self.workshop = workshop
        let socket = workshop.path("agent.\(UInt32.random(in: 0...UInt32.max))")
        self.socket = socket
        var words: [UnsafeMutablePointer<CChar>?] = ["ssh-agent", "-D", "-a", socket].map { (word: String) in
            strdup(word)
        }
        words.append(nil)
        defer { for word in words { free(word) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        var pid: pid_t = 0
        try #require(posix_spawnp(&pid, "ssh-agent", &actions, nil, &words, environ) == 0)
        self.pid = pid
        try #require(Event.happens { access(socket, F_OK) == 0 })
    }

    deinit {
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
    }

    func add(_ name: String, _ options: String...) throws {
        let words = ["env", "SSH_AUTH_SOCK=\(socket)", "ssh-add", "-q"] + options + [workshop.path(name)]
        let output = try ProgramOutput.of(words, limit: .seconds(30))
        try #require(output.status == 0, "\(output.err)")
    }
}

/// A Unix socket on which somebody listens who does with a connection whatever a test wants.
final class FakeAgent {
    let path: String
    private let listener: Int32

    init(_ workshop: Workshop, _ serve: @escaping @Sendable (Int32) -> Void) throws {
        path = workshop.path("fake.\(UInt32.random(in: 0...UInt32.max))")
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let listener = listener
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(result == 0 && listen(listener, 8) == 0)
        Thread.detachNewThread {
            while true {
                let connection = accept(listener, nil, nil)
                // Other tests start programs meanwhile.
                _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
                guard connection >= 0 else { break }
                serve(connection)
            }
            // Here and nowhere else: the number must not become another listener's while this one still accepts.
            close(listener)
        }
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)) }
}
