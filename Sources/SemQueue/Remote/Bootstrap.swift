internal import Glibc

/// Puts semq onto a host that has none: a file of its own in the user's cache folder, named by its content.
package struct Bootstrap {
    private let shell: RemoteShell
    private let binary: AgentBinary

    package init(shell: RemoteShell, binary: AgentBinary) {
        self.shell = shell
        self.binary = binary
    }

    /// - Throws: ``SemaphoreError`` that says what is in the way there; nothing half-done stays behind.
    package func run(_ alarm: Alarm) throws {
        let machine = try tell("uname -sm", nil, alarm).said
        guard machine.split(whereSeparator: \.isNewline).contains(Substring(Self.machine)) else {
            let theirs = machine.split(whereSeparator: \.isNewline).last.map(String.init) ?? "something unknown"
            throw SemaphoreError(
                .unreachable,
                "\(shell.host): is \(theirs), and this semq is for \(Self.machine); install semq there, "
                    + "or see scripts/build-agent for other machines")
        }
        let file = open(binary.path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw SemaphoreError.system(.io, "can't read", binary.path) }
        defer { close(file) }
        var info = stat()
        fstat(file, &info)
        let (said, complaint) = try tell(script(size: Int(info.st_size)), file, alarm)
        guard said.contains("semq-uploaded") else {
            let told = [said, complaint].filter { !$0.isEmpty }.joined(by: "; ")
            throw SemaphoreError(
                .unreachable,
                "\(shell.host): semq can't be put into \(folder) there: \(told.isEmpty ? "no answer" : told); "
                    + "make room, or install semq there and say --no-bootstrap")
        }
    }

    private var folder: String { "~/.cache/semq" }

    static let machine: String = {
        var names = utsname()
        uname(&names)
        func text(_ field: some Any) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        return "\(text(names.sysname)) \(text(names.machine))"
    }()

    /// In words that every log-in shell passes on alike: one line, single quotes, no exclamation mark (tcsh), no
    /// backslash (fish). The name comes last, so that nobody ever executes half a file.
    private func script(size: Int) -> String {
        let folder = binary.remotePath.dropLast("/semq".count)
        return "sh -c 'umask 077; mkdir -p \(folder) && t=\(folder)/semq.$$ && trap \"rm -f $t\" EXIT && "
            + "head -c \(size) > $t && test $(wc -c < $t) -eq \(size) && chmod 700 $t && $t --version > /dev/null "
            + "&& mv -f $t \(binary.remotePath) && echo semq-uploaded'"
    }

    /// Runs a command there, with a file as its input.
    private func tell(
        _ command: String, _ file: Int32?, _ alarm: Alarm
    ) throws -> (said: String, complaint: String) {
        let link = try shell.start(command, isAttended: true)
        let stream = Stream(input: link.descriptor, output: link.descriptor)
        defer { stream.close() }
        var said: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        var isSent = file == nil
        if isSent { shutdown(link.descriptor, Int32(SHUT_WR)) }
        while true {
            if alarm.isRung {
                link.kill()
                throw Gate.Failure.interrupted
            }
            if !isSent, !stream.hasUnsent {
                let count = read(file!, &buffer, buffer.count)
                if count > 0 { stream.send(Array(buffer[..<count])) }
                if count <= 0 {
                    isSent = true
                    shutdown(link.descriptor, Int32(SHUT_WR))
                }
            }
            link.drain()
            stream.flush()
            guard let bytes = stream.read() else { break }
            said = (said + bytes).suffix(8192)
            if bytes.isEmpty, isSent || stream.hasUnsent {
                awaitDescriptors(stream.pollEvents + [link.pollEvent], alarm, .seconds(60))
            }
        }
        let code = link.exitCode(within: .seconds(5))
        let complaint = link.complaint
        if code == 255 || code == ExitOfLink.refused {
            throw SemaphoreError(
                code == 255 ? .unreachable : .permission, "\(shell.host): can't be reached: \(complaint)")
        }
        return (String(decoding: said, as: UTF8.self).trimmed, complaint)
    }
}

extension String {
    fileprivate var trimmed: String {
        var text = self[...]
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return String(text)
    }
}
