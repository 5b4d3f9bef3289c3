internal import Glibc
internal import SSHTransport

/// Puts semq onto a host that has none: a file of its own in the user's cache folder, named by its content.
package struct Bootstrap {
    private let shell: RemoteShell
    private let binary: AgentBinary

    package init(shell: RemoteShell, binary: AgentBinary) {
        self.shell = shell
        self.binary = binary
    }

    /// - Parameters:
    ///   - deadline: when it is left undone.
    ///   - tell: hears how far it is, where it takes longer than a second.
    /// - Throws: ``SemaphoreError`` that says what is in the way there; `Gate.Failure` when the alarm rings or the
    ///   deadline passes. Nothing half-done stays behind.
    package func run(_ alarm: Alarm, deadline: Duration?, _ tell: (String) -> Void = { _ in }) throws {
        let limit = Limit(alarm: alarm, deadline: deadline)
        let machine = try machine(limit)
        guard let path = binary.path(for: machine) else {
            throw SemaphoreError(
                .unreachable,
                "\(shell.host): is \(machine), and this semq is for \(AgentBinary.machine); install semq there, or "
                    + "see scripts/build-agent, which makes one for other machines")
        }
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            throw SemaphoreError(.io, "\(path): can't be read: \(String(cString: strerror(errno)))", systemError: errno)
        }
        defer { close(file) }
        var info = stat()
        fstat(file, &info)
        var progress = Progress(size: Int(info.st_size))
        let (said, complaint) = try order(script(size: progress.size, try digest(file)), limit, file) {
            if let progress = progress.add($0) { tell("\(shell.host): semq is being put there, \(progress)") }
        }
        // Log-in shells may print before it, and after it what they have to say at their end.
        guard said.split(whereSeparator: \.isNewline).contains("semq-uploaded") else {
            let told = [said, complaint].filter { !$0.isEmpty }.joined(by: "; ")
            throw SemaphoreError(
                .unreachable,
                "\(shell.host): semq can't be put into ~/.cache/semq there: \(told.isEmpty ? "no answer" : told); "
                    + "put that right, or install semq there and say --no-bootstrap")
        }
    }

    /// What uname(1) says there, such as “Linux x86_64”; log-in shells may print more.
    private func machine(_ limit: Limit) throws -> String {
        let (said, complaint) = try order("sh -c 'echo; uname -sm; echo'", limit)
        let lines = said.split(whereSeparator: \.isNewline).map(String.init)
        guard let line = lines.last(where: Self.isSystem) else {
            let told = (lines + [complaint]).filter { !$0.isEmpty }.suffix(3)
            throw SemaphoreError(
                .unreachable,
                "\(shell.host): commands can't be run there: \(told.isEmpty ? "\(shell.carrier) ends without a word" : Array(told).joined(by: "; "))"
            )
        }
        return line
    }

    private static func isSystem(_ line: String) -> Bool {
        let words = line.split(separator: " ")
        return words.count == 2 && ["Linux", "Darwin", "FreeBSD", "OpenBSD", "NetBSD"].contains(words[0])
    }

    private func digest(_ file: Int32) throws -> String {
        var hash = SHA256()
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        while case let count = read(file, &buffer, buffer.count), count > 0 {
            buffer.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0.prefix(count))) }
        }
        lseek(file, 0, SEEK_SET)
        return hash.value.map { String(decoding: Hexadecimal.digits(UInt64($0), count: 2), as: UTF8.self) }
            .joined(by: "")
    }

    /// In words that every log-in shell passes on alike: one line, single quotes, no exclamation mark (tcsh), no
    /// backslash (fish). What came is checked before it has its name, so that nobody ever executes half a file; a connection that has
    /// ended doesn't end the shell before it has cleaned up.
    private func script(size: Int, _ digest: String) -> String {
        let folder = binary.remotePath.dropLast("/semq".count)
        return "sh -c 'umask 077; mkdir -p \(folder) || exit; t=\(folder)/semq.$$; "
            + "trap \"rm -f $t\" EXIT; trap \"\" HUP PIPE; "
            + "head -c \(size) > $t || exit; "
            + "test $(wc -c < $t) -eq \(size) || { echo only a part has arrived; exit 1; }; "
            + "if command -v sha256sum > /dev/null; then "
            + "test $(sha256sum < $t | cut -c 1-64) = \(digest) || { echo it was damaged on the way; exit 1; }; fi; "
            + "chmod 700 $t && $t --version > /dev/null || { echo it can not be executed from there; exit 1; }; "
            + "mv -f $t \(binary.remotePath) && echo && echo semq-uploaded'"
    }

    /// Runs a command there, with a file as its input.
    /// - Parameter sent: hears of each piece of the file that is on its way.
    private func order(
        _ command: String, _ limit: Limit, _ file: Int32? = nil, _ sent: (Int) -> Void = { _ in }
    ) throws -> (said: String, complaint: String) {
        let link = try shell.start(command, isAttended: true)
        let stream = Stream(input: link.input, output: link.output)
        defer { stream.close() }
        var said: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        var isSent = file == nil
        if isSent { shutdown(link.output, Int32(SHUT_WR)) }
        var moved = Duration.monotonic()
        while true {
            do {
                try limit.check(moved, shell.host)
            } catch {
                link.kill()
                throw error
            }
            if !isSent, !stream.hasUnsent {
                let count = read(file!, &buffer, buffer.count)
                if count > 0 {
                    moved = .monotonic()
                    stream.send(Array(buffer[..<count]))
                    sent(count)
                }
                if count <= 0 {
                    isSent = true
                    shutdown(link.output, Int32(SHUT_WR))
                }
            }
            link.drain()
            stream.flush()
            guard let bytes = stream.read() else { break }
            said = (said + bytes).suffix(8192)
            if bytes.isEmpty, isSent || stream.hasUnsent {
                awaitDescriptors(stream.pollEvents + [link.pollEvent], limit.alarm, .seconds(1))
            }
        }
        let code = link.exitCode(within: .seconds(5))
        let complaint = link.complaint
        if code == 255 || code == ExitOfLink.refused {
            throw SemaphoreError(
                code == 255 ? .unreachable : .permission,
                "\(shell.host): \(code == 255 ? "can't be reached" : "refused"): \(complaint)")
        }
        return (String(decoding: said, as: UTF8.self).trimmed, complaint)
    }
}

/// What ends it before it is done.
private struct Limit {
    let alarm: Alarm
    let deadline: Duration?

    /// Whatever carries links gives up a silent host sooner; this is for one that doesn't, or hangs itself. On a slow
    /// way, what waits in buffers takes its time.
    private static let patience = Duration.seconds(120)

    /// - Parameter moved: when something last went on.
    func check(_ moved: Duration, _ host: String) throws {
        if alarm.isRung { throw Gate.Failure.interrupted }
        let now = Duration.monotonic()
        if let deadline, now >= deadline { throw Gate.Failure.timedOut }
        guard now < moved + Self.patience else {
            throw SemaphoreError(
                .unreachable,
                "\(host): nothing has passed for \(Self.patience.rounded) while semq was being put there; is the connection sound?"
            )
        }
    }
}

/// Says now and then how much of a file is on its way.
private struct Progress {
    /// In bytes.
    let size: Int
    private var sent = 0
    private var next = Duration.monotonic() + .seconds(1)

    init(size: Int) { self.size = size }

    /// - Returns: such as “3 of 14 MiB”, after the first second and each further five.
    mutating func add(_ count: Int) -> String? {
        sent += count
        guard .monotonic() >= next else { return nil }
        next = .monotonic() + .seconds(5)
        return "\(sent >> 20) of \(size >> 20) MiB"
    }
}

extension String {
    fileprivate var trimmed: String {
        var text = self[...]
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return String(text)
    }
}
