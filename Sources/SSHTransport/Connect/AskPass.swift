internal import CLibSSH2
internal import Glibc

/// A program that asks for a passphrase in a window, and prints it.
enum AskPass {
    /// - Returns: nil where it can't be run, fails, or is cancelled, which ends it.
    static func ask(_ program: String, _ prompt: String, cancellation: SSHCancellation) -> SSHSecret? {
        var ends: [Int32] = [-1, -1]
        guard pipe2(&ends, O_CLOEXEC) == 0 else { return nil }
        defer { close(ends[0]) }
        let pid = start(program, prompt, output: ends[1])
        close(ends[1])
        guard let pid else { return nil }
        var isWhole = false
        let secret = SSHSecret(capacity: PassphrasePrompt.limit) { room in
            var count = 0
            while let length = read(ends[0], room, from: count, cancellation) {
                if length == 0 {
                    isWhole = true
                    break
                }
                count += length
            }
            return room[..<count].firstIndex { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") } ?? count
        }
        if !isWhole { kill(pid, SIGTERM) }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return isWhole && status == 0 ? secret : nil
    }

    /// - Returns: how many bytes came; nil when cancelled, or when there is no more room.
    private static func read(
        _ descriptor: Int32, _ room: UnsafeMutableRawBufferPointer, from start: Int, _ cancellation: SSHCancellation
    ) -> Int? {
        guard start < room.count else { return nil }
        while true {
            var entries = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: cancellation.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            poll(&entries, 2, -1)
            if entries[1].revents != 0 { return nil }
            if entries[0].revents == 0 { continue }
            let length = Glibc.read(descriptor, room.baseAddress! + start, room.count - start)
            if length >= 0 { return length }
            if errno != EINTR { return nil }
        }
    }

    private static func start(_ program: String, _ prompt: String, output: Int32) -> pid_t? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var words: [UnsafeMutablePointer<CChar>?] = [program, prompt].map { (word: String) in strdup(word) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        return posix_spawnp(&pid, program, &actions, &attributes, &words, environ) == 0 ? pid : nil
    }
}
