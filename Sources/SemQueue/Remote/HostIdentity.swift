internal import Glibc
internal import SSHTransport

/// A host as this side names it, handed down with permits: its name, and what decides which host that is. For another
/// program that looks it up, another account's configuration, or a `Match user` there, the same name may be another host's.
struct HostIdentity: Hashable {
    /// Without the user.
    let name: String
    /// The user there, where one was named.
    let user: String?
    /// The words of `--rsh`; else `ssh`, whose configuration we follow.
    let program: [String]
    /// Whose configuration it is: ssh(1) takes that of the process's user, wherever HOME points. The number of the user, and
    /// which folder is that one's home: in a container, or on another machine, both may be called the same. Nil where an
    /// older `semq` has handed it down, which tells neither this nor the user.
    let account: String?

    /// As this process names it.
    /// - Parameter program: nil where none was chosen by hand.
    init(name: String, user: String? = nil, program: [String]? = nil) {
        self.name = name
        self.user = user
        self.program = Self.fromAnywhere(program ?? Self.usual)
        account = Self.account
    }

    private static let account: String = {
        var home = stat()
        guard stat(LocalAccount.current.home, &home) == 0 else { return "\(getuid())" }
        return "\(getuid()).\(home.st_dev).\(home.st_ino)"
    }()

    private static let usual = ["ssh"]

    // MARK: a word

    /// All of it, in one word.
    var word: String {
        guard let account else { return olderWord }
        return "\(name)|\(Self.escaped(program.joined(by: " ")))|\(Self.escaped(user ?? ""))|\(account)"
    }

    /// As older `semq`s write and read it: the name alone, or with the program. One that knows names alone takes it for that
    /// of no host, unless it is a name alone.
    var olderWord: String {
        guard program != Self.usual else { return name }
        return "\(name)|\(Self.escaped(program.joined(by: " ")))"
    }

    init(word: String) {
        let parts = word.split(separator: "|", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
        func unescaped(_ part: String) -> String { Hexadecimal.unescape(Array(part.utf8)[...]) }
        name = parts[0]
        program = parts.count < 2 ? Self.usual : unescaped(parts[1]).split(separator: " ").map(String.init)
        user = parts.count < 4 || parts[2].isEmpty ? nil : unescaped(parts[2])
        // Of a word that isn't whole no account is the same.
        account = parts.count < 3 ? nil : parts.count < 4 ? "" : parts[3]
    }

    private static func escaped(_ text: String) -> String {
        String(
            decoding: text.utf8.flatMap { byte -> [UInt8] in
                let isPlain = byte > 0x20 && byte != 0x7f && !"%/|".utf8.contains(byte)
                return isPlain ? [byte] : Hexadecimal.percent(byte)
            }, as: UTF8.self)
    }

    /// With files by names that mean the same in every folder.
    private static func fromAnywhere(_ program: [String]) -> [String] {
        var program = program
        func absolute(_ path: String) -> String {
            guard !path.hasPrefix("/"), !path.hasPrefix("~"), let folder = getcwd(nil, 0) else { return path }
            defer { free(folder) }
            return "\(String(cString: folder))/\(path)"
        }
        if program[0].contains("/") { program[0] = absolute(program[0]) }
        for index in program.indices.dropFirst() {
            if program[index - 1] == "-F" {
                program[index] = absolute(program[index])
            } else if program[index].hasPrefix("-F"), program[index] != "-F" {
                program[index] = "-F" + absolute(String(program[index].dropFirst(2)))
            }
        }
        return program
    }

    // MARK: comparing

    /// Whether both mean one host by what this side knows: they are the same, the configuration leads both on one way, or
    /// the same host key is known of both. What a host says of itself counts for nothing.
    ///
    /// This one may have been handed down by somebody who can't be trusted, as by whoever calls `sudo`: its program is
    /// compared, and never run.
    /// - Parameter own: as this process itself reaches it.
    func isSame(as own: HostIdentity) -> Bool {
        if account != nil, self == own { return true }
        // What another account's configuration says isn't known here.
        guard account == nil || account == own.account else { return false }
        guard program == own.program, tells else {
            // Two that look names up in ways of their own may find two hosts. Of any other program that isn't known, and it
            // is believed to mean by a name what ssh does, whoever the user is.
            return name == own.name && !(tells && own.tells) && !program.joined().isEmpty
        }
        guard let two = own.configuration(of: own.user) else { return false }
        // Which user an older `semq` has named isn't known: then it must be one host for each.
        let users = account == nil ? [own.user, nil, Self.nobody] : [user]
        return users.allSatisfy { user in
            guard let one = configuration(of: user) else { return false }
            return one.way == two.way || Self.haveOneKey(one, two)
        }
    }

    /// Whom no configuration names.
    private static let nobody = "semq-asks-for-anybody"

    /// Whether the program can say what its names mean.
    private var tells: Bool { program.first?.split(separator: "/").last == "ssh" }

    private func configuration(of user: String?) -> SSHConfiguration? {
        guard tells, case .remote(let address, _)? = try? Address("ssh://\(name)/x")
        else { return nil }
        return try? SSHConfiguration.resolve(
            SSHDestination(host: address.name, user: user, port: address.port), program: program)
    }

    /// Whether whoever is verified as one of them is the other. Two ways to one name have one set of keys: which host
    /// has which of these isn't told.
    private static func haveOneKey(_ one: SSHConfiguration, _ two: SSHConfiguration) -> Bool {
        guard one.keysDecide, two.keysDecide, one.keysPlace != two.keysPlace else { return false }
        let (keys, others) = (trusted(one), trusted(two))
        // Two of one type are of two hosts.
        let all = keys.union(others)
        return !keys.isDisjoint(with: others) && Set(all.map(\.type)).count == all.count
    }

    private static func trusted(_ configuration: SSHConfiguration) -> Set<SSHPublicKey> {
        let (host, port) = configuration.knownHost
        let known = try? KnownHosts(files: configuration.knownHostsFiles).keys(host: host, port: port)
        return Set((known?.trusted ?? []).map(\.key))
    }
}
