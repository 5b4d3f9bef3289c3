import Glibc
import SSHTransport

/// TransferBenchmark up|down USER HOST FILE REMOTE: connects, moves one file, and ends, as scp does.
@main
struct TransferBenchmark {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 6 else { exit(64) }
        let session = try SSHSession.connect(to: SSHDestination(host: arguments[3], user: arguments[2]))
        defer { session.close() }
        let transfer: SSHTransfer
        if arguments[1] == "up" {
            transfer = try session.upload(from: file(arguments[4], O_RDONLY), to: "cat >\(arguments[5])")
        } else {
            transfer = try session.download(
                from: "cat \(arguments[5])", to: file(arguments[4], O_WRONLY | O_CREAT | O_TRUNC))
        }
        guard transfer.exit == .exited(0) else {
            fatalError("the command on \(arguments[3]) ended so: \(transfer.exit) \(transfer.errors)")
        }
    }

    static func file(_ path: String, _ flags: Int32) -> Int32 {
        let descriptor = open(path, flags | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { fatalError("\(path): \(String(cString: strerror(errno)))") }
        return descriptor
    }
}
