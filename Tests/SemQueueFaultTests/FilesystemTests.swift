import Glibc
import SemQueueTestSupport
import Testing

/// Where locks may not hold a queue is refused before it is made, unless somebody says that they do.
@Suite(.serialized) struct FilesystemTests {
    private let advice =
        "; put the queue on a disk of the machine that owns the thing and take turns there (by ssh), "
        + "or say --any-filesystem where you know that its locks hold\n"

    /// FUSE: what sshfs and many more are.
    @Test func networkFileSystemIsRefused() throws {
        guard Machine.has(.root, .program("bindfs", package: "bindfs")) else { return }
        let sandbox = try Sandbox()
        try sandbox.mount("mkdir source && bindfs source \"$1\"")
        for command in [
            ["acquire", "mounted/board.queue", "--", "touch", "ran"],
            ["set", "mounted/board.queue", "--concurrency", "2"],
        ] {
            let result = try sandbox.start([Sandbox.binary] + command).wait()
            #expect(result.status == .exited(65), "\(command)")
            #expect(
                result.err
                    == "semq: mounted/board.queue: lies on FUSE, where locks may not hold between machines\(advice)",
                "\(command)")
            #expect(!sandbox.exists("mounted/board.queue"), "\(command): nothing is made where it is refused")
        }
        #expect(!sandbox.exists("ran"))
        let doctor = try sandbox.semq("doctor", "mounted/board.queue")
        #expect(doctor.status == .exited(65))
        #expect(doctor.out.contains("BAD   file system  FUSE: locks may not hold between machines"), "\(doctor.out)")
    }

    @Test func anyFilesystemIsUsedWhereSomebodySaysSo() throws {
        guard Machine.has(.root, .program("bindfs", package: "bindfs")) else { return }
        let sandbox = try Sandbox()
        try sandbox.mount("mkdir source && bindfs source \"$1\"")
        let oracle = try Oracle(sandbox)
        let all = try (1...5).map { number in
            try sandbox.start(
                [Sandbox.binary, "acquire", "-q", "--any-filesystem", "mounted/board.queue", "--"] + oracle.words + [
                    "\(number)"
                ])
        }
        for running in all { #expect(running.wait().status == .exited(0), "\(running.err)") }
        #expect(oracle.names.count == 5 && oracle.complaint == nil)
        // To look needs no leave, and a command inside finds its permit.
        #expect(try sandbox.semq("status", "mounted/board.queue").out == "mounted/board.queue: free, nobody waits\n")
        let nested = try sandbox.shell(
            "semq acquire --any-filesystem mounted/board.queue -- semq acquire --any-filesystem mounted/board.queue -- echo in"
        )
        #expect(nested.status == .exited(0) && nested.out == "in\n")
    }

    @Test func unknownFileSystemIsRefused() throws {
        guard Machine.has(.root) else { return }
        let sandbox = try Sandbox()
        try sandbox.mount("mount -t hugetlbfs none \"$1\"")
        let result = try sandbox.semq("acquire", "mounted/board.queue", "--", "touch", "ran")
        #expect(result.status == .exited(65))
        #expect(
            result.err
                == "semq: mounted/board.queue: lies on a file system (0x958458f6) that is not known to keep locks\(advice)"
        )
        #expect(!sandbox.exists("ran") && !sandbox.exists("mounted/board.queue"))
    }

    /// The records can't be written there, whatever one says.
    @Test func fileSystemThatTakesNoRecordsIsSaid() throws {
        guard Machine.has(.root) else { return }
        let sandbox = try Sandbox()
        try sandbox.mount("mount -t hugetlbfs none \"$1\"")
        let result = try sandbox.semq(
            "acquire", "--any-filesystem", "mounted/board.queue", "--", "touch", "ran")
        #expect(result.status == .exited(73))
        #expect(result.err.hasPrefix("semq: mounted/board.queue: can't write the queue file: "))
        #expect(!sandbox.exists("ran"))
    }

    /// Each of them keeps locks: one at a time, in order.
    @Test(arguments: [
        "mount -t tmpfs none \"$1\"", "mount -t ramfs none \"$1\"",
        "truncate -s 16M disk && mkfs.ext4 -q disk && mount -o loop disk \"$1\"",
        "mount -t tmpfs none \"$1\" && cd \"$1\" && mkdir l u w && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none \"$1\"",
    ]) func localFileSystemServes(_ mount: String) throws {
        guard Machine.has(.root, .program("mkfs.ext4", package: "e2fsprogs")) else { return }
        let sandbox = try Sandbox()
        try sandbox.mount(mount)
        let oracle = try Oracle(sandbox, seconds: 0.005)
        let all = try (1...8).map { number in
            try sandbox.start(
                [Sandbox.binary, "acquire", "-q", "mounted/board.queue", "--"] + oracle.words + ["\(number)"])
        }
        for running in all { #expect(running.wait().status == .exited(0), "\(running.err)") }
        #expect(oracle.names.count == 8 && oracle.complaint == nil)
        let doctor = try sandbox.semq("doctor", "mounted/board.queue")
        #expect(doctor.status == .exited(0), "\(doctor.out)")
        if mount.contains("overlay") {
            #expect(doctor.out.contains("note  file system  overlay: the file is this container's own"))
        }
    }
}
