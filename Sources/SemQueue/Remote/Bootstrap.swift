internal import Glibc
internal import SSHTransport

/// Puts semq onto a host that has none: a file of its own in the user's cache folder, named by its content. One
/// connection serves for that and for the agent that is started then, since each may ask for a passphrase.
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
    /// - Returns: a conversation with the agent, begun.
    /// - Throws: ``SemaphoreError`` that says what is in the way there; `Gate.Failure` when the alarm rings or the
    ///   deadline passes. Nothing half-done stays behind.
    func run(
        _ agent: AgentCommand, _ alarm: Alarm, deadline: Duration?, _ tell: (String) -> Void = { _ in }
    ) throws -> Conversation {
        let upload = try Upload(shell, script(agent.command), alarm, deadline: deadline)
        do {
            guard let line = try upload.line(where: { $0.hasPrefix(Self.machine) }) else {
                throw upload.failure(noShell)
            }
            upload.link.hasAnswered()
            let machine = String(line.dropFirst(Self.machine.count))
            guard let path = binary.path(for: machine) else {
                throw SemaphoreError(
                    .unreachable,
                    "\(shell.host): is \(machine), and this semq is for \(AgentBinary.machine); install semq there, or "
                        + "see scripts/build-agent, which makes one for other machines")
            }
            let file = open(path, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else {
                throw SemaphoreError(
                    .io, "\(path): can't be read: \(String(cString: strerror(errno)))", systemError: errno)
            }
            defer { close(file) }
            var info = stat()
            fstat(file, &info)
            var progress = Progress(size: Int(info.st_size))
            try upload.send("\(progress.size) \(digest(file))\n", file) {
                if let progress = progress.add($0) { tell("\(shell.host): semq is being put there, \(progress)") }
            }
            // Log-in shells may print before it, and after it what they have to say at their end.
            guard try upload.line(where: { $0 == Self.isThere }) != nil else { throw upload.failure(notThere) }
        } catch {
            upload.link.kill()
            throw error
        }
        return Conversation(agent, on: upload.link, upload.stream)
    }

    /// Before what uname(1) says there, such as “Linux x86_64”.
    fileprivate static let machine = "semq-machine "
    private static let isThere = "semq-uploaded"

    private func noShell(_ told: String) -> String {
        "\(shell.host): commands can't be run there: \(told.isEmpty ? "\(shell.carrier) ends without a word" : told.cut(to: 200))"
    }

    private func notThere(_ told: String) -> String {
        "\(shell.host): semq can't be put into ~/.cache/semq there: \(told.isEmpty ? "no answer" : told); "
            + "put that right, or install semq there and say --no-bootstrap"
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
    /// backslash (fish). It tells the machine, and reads what comes: a line with size and digest, and the file, which is
    /// checked before it has its name, so that nobody ever executes half of one. A connection that has ended doesn't end
    /// the shell before it has cleaned up.
    private func script(_ agent: String) -> String {
        let folder = binary.remotePath.dropLast("/semq".count)
        return "sh -c 'echo; echo \(Self.machine)$(uname -sm); read -r size digest || exit; "
            + "u=$(umask); umask 077; mkdir -p \(folder) || exit; t=\(folder)/semq.$$; "
            + "trap \"rm -f $t\" EXIT; trap \"\" HUP PIPE; "
            + "head -c $size > $t || exit; "
            + "test $(wc -c < $t) -eq $size || { echo only a part has arrived; exit 1; }; "
            + "if command -v sha256sum > /dev/null; then "
            + "test $(sha256sum < $t | cut -c 1-64) = $digest || { echo it was damaged on the way; exit 1; }; fi; "
            + "chmod 700 $t && $t --version > /dev/null || { echo it can not be executed from there; exit 1; }; "
            + "mv -f $t \(binary.remotePath) || exit; trap - HUP PIPE; umask $u; echo; echo \(Self.isThere); exec \(agent)'"
    }
}

/// A command there that is given a file.
private final class Upload {
    let link: Link
    let stream: Stream
    private let host: String
    private let alarm: Alarm
    private let deadline: Duration?
    /// The last of what it has printed.
    private var said: [UInt8] = []
    private var hasEnded = false
    /// When something last went on.
    private var moved = Duration.monotonic()
    private var looked = Duration.monotonic()
    /// How long nothing may go on. Whatever carries links gives up a silent host sooner; this is for one that doesn't, or
    /// hangs itself.
    private var patience = Duration.seconds(120)

    /// - Throws: ``SemaphoreError`` when it can't be started.
    init(_ shell: RemoteShell, _ command: String, _ alarm: Alarm, deadline: Duration?) throws {
        link = try shell.start(command, isAttended: true)
        stream = Stream(input: link.input, output: link.output)
        host = shell.host
        self.alarm = alarm
        self.deadline = deadline
    }

    /// Waits for a line.
    /// - Returns: nil where the command ends without it.
    func line(where isMeant: (String) -> Bool) throws -> String? {
        while true {
            let lines = said.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast()
            if let line = lines.lazy.map({ String(decoding: $0, as: UTF8.self).trimmed }).last(where: isMeant) {
                return line
            }
            if hasEnded { return nil }
            try step()
        }
    }

    /// Sends a line and a file, or as much as the command takes.
    /// - Parameter sent: hears of each piece of the file that is on its way.
    func send(_ line: String, _ file: Int32, _ sent: (Int) -> Void) throws {
        stream.send(Array(line.utf8))
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        while !hasEnded {
            guard !stream.hasUnsent else {
                try step()
                continue
            }
            let count = read(file, &buffer, buffer.count)
            guard count > 0 else {
                // On a slow way, what waits in buffers takes its time.
                patience = .seconds(900)
                return
            }
            moved = .monotonic()
            stream.send(Array(buffer[..<count]))
            sent(count)
        }
    }

    private func step() throws {
        let now = Duration.monotonic()
        // Stopped meanwhile, nobody has waited; nor while somebody answers what another asks.
        if now - looked > .seconds(3) || link.mayBeHeldUp { moved += now - looked }
        looked = now
        if alarm.isRung { throw Gate.Failure.interrupted }
        if let deadline, now >= deadline { throw Gate.Failure.timedOut }
        guard now < moved + patience else {
            throw SemaphoreError(
                .unreachable,
                "\(host): nothing has passed for \(patience.rounded) while semq was being put there; is the connection sound?"
            )
        }
        link.drain()
        let unsent = stream.unsent
        stream.flush()
        if stream.unsent < unsent { moved = now }
        guard let bytes = stream.read() else {
            hasEnded = true
            return
        }
        said = (said + bytes).suffix(8192)
        if !bytes.isEmpty {
            moved = now
        } else if stream.hasUnsent || unsent == 0 {
            let rest = deadline.map { $0 - now } ?? .seconds(1)
            awaitDescriptors(stream.pollEvents + [link.pollEvent], alarm, min(.seconds(1), rest))
        }
    }

    /// - Parameter text: what is to be said, of the last words there.
    func failure(_ text: (String) -> String) -> SemaphoreError {
        let code = link.exitCode(within: .seconds(5))
        let complaint = link.complaint.text
        switch code {
        case ExitOfLink.failed?: return SemaphoreError(.unreachable, "\(host): can't be reached: \(complaint)")
        case ExitOfLink.broken?:
            return SemaphoreError(
                .unreachable, "\(host): the connection was lost while semq was being put there: \(complaint)")
        case ExitOfLink.refused?: return SemaphoreError(.permission, "\(host): refused: \(complaint)")
        default: break
        }
        let lines = String(decoding: said, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
        // Before that it was the log-in shell that spoke.
        let ours = lines.lastIndex { $0.hasPrefix(Bootstrap.machine) }.map { lines[($0 + 1)...] } ?? lines[...]
        let told = (ours + [complaint]).filter { !$0.isEmpty }.suffix(3)
        return SemaphoreError(.unreachable, text(Array(told).joined(by: "; ")))
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
