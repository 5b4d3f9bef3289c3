import Glibc
import SSHTransport

/// SemQueueSessions CONFIG COUNT LEAK: opens and closes that many sessions with the host `lab` of a configuration, each of
/// which loses so many bytes on purpose, and says what the second half has added, in one line: descriptors, threads, and
/// KiB of resident memory. It runs with the leak sanitizer before it (LD_PRELOAD), which tells at the end what is lost.
@main struct Sessions {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 4, let count = Int(arguments[2]), let leak = Int(arguments[3]) else { exit(64) }
        guard dlsym(nil, "__lsan_do_leak_check") != nil else { fatalError("there is no leak sanitizer") }
        // For this process alone.
        unsetenv("LD_PRELOAD")
        var options = SSHOptions()
        options.configuration = try SSHConfiguration.resolve(
            SSHDestination(host: "lab"), program: ["ssh", "-F", arguments[1]])
        // Nothing here is about time, and the machine may have much to do.
        (options.limits.banner, options.limits.keyExchange) = (.seconds(120), .seconds(120))
        (options.limits.authentication, options.limits.close) = (.seconds(120), .seconds(120))
        for round in 0..<count / 2 { try open(round, options, leak) }
        let before = Usage()
        for round in count / 2..<count { try open(round, options, leak) }
        // A thread that has been joined may be seen for a moment.
        for _ in 0..<2000 where Usage().threads > before.threads { usleep(10_000) }
        let after = Usage()
        print(after.descriptors - before.descriptors, after.threads - before.threads, after.memory - before.memory)
        // The sanitizer ends the process without it.
        fflush(nil)
    }

    private static func open(_ round: Int, _ options: SSHOptions, _ leak: Int) throws {
        let session = try SSHSession.connect(to: SSHDestination(host: "lab"), options: options)
        if round % 50 == 0 {
            let end = try session.exec("exit 3", input: -1, output: -1, error: -1).wait()
            guard end == .exited(3) else { fatalError("\(end)") }
        }
        session.close()
        if leak > 0 { memset(malloc(leak), 1, leak) }
    }
}

/// What this process holds.
struct Usage {
    var descriptors = entries("/proc/self/fd")
    var threads = entries("/proc/self/task")
    var memory = resident()

    private static func entries(_ path: String) -> Int {
        guard let folder = opendir(path) else { fatalError(path) }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        return count
    }

    private static func resident() -> Int {
        guard let statm = fopen("/proc/self/statm", "r") else { fatalError("/proc/self/statm") }
        defer { fclose(statm) }
        var line = [CChar](repeating: 0, count: 256)
        fgets(&line, Int32(line.count), statm)
        let words = String(decoding: line.map(UInt8.init(bitPattern:)), as: UTF8.self).split(separator: " ")
        return (Int(words[1]) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) / 1024
    }
}
