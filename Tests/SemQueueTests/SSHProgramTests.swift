import Testing

@testable import SemQueue

/// The words that OpenSSH's client is given, by what it tells of its configuration.
@Suite struct SSHProgramTests {
    private func words(_ settings: String, _ sharing: SSHProgram.Sharing = .none) -> String {
        let target = Address.Host(name: "bench", user: "lab", port: nil)
        return SSHProgram(["ssh", "-F", "x"], to: target, settings: settings).words(isBatch: true, sharing)
            .joined(separator: " ")
    }

    /// Others would hang on a connection that ends with a turn.
    @Test(arguments: [SSHProgram.Sharing.none, .hop, .host]) func neverAMaster(_ sharing: SSHProgram.Sharing) {
        let words = words("controlmaster auto\ncontrolpath /x\n", sharing)
        #expect(words.hasPrefix("ssh -F x ") && words.hasSuffix(" -l lab -- bench"))
        #expect(words.contains("-o ControlMaster=no"))
        #expect(words.contains("-o ControlPath=none") == (sharing != .host))
    }

    /// Nor is a hop one.
    @Test func aHopIsNoMaster() {
        let one = "ssh -F x -o ControlMaster=no -o ControlPath=none -W '[%h]:%p' -l ann -p 23 -- gate"
        #expect(words("proxyjump ann@gate:23\n").contains("-o ProxyCommand=\(one) -T"))
        let shared = "ssh -F x -o ControlMaster=no -W '[%h]:%p' -l ann -- ::1"
        #expect(words("proxyjump ann@[::1]\n", .hop).contains("-o ProxyCommand=\(shared) -T"))
        #expect(words("proxyjump ann@[::1]\n", .host).contains("-o ProxyCommand=\(shared) -T"))
        let options = "-F x -o ControlMaster=no -o ControlPath=none"
        let first = "ProxyCommand=ssh \(options) -W '\\''[%%h]:%%p'\\'' -- a"
        #expect(
            words("proxyjump a,b\n").contains("-o ProxyCommand=ssh \(options) -o '\(first)' -W '[%h]:%p' -- b -T"))
        #expect(!words("proxyjump gate\ncontrolpath /x\n", .host).contains("ProxyCommand"))
        #expect(!words("proxyjump none\n").contains("ProxyCommand"))
    }

    /// Older ones end with an error for a word that they don't know.
    @Test func onlyWordsThatItKnows() {
        #expect(!words("hostname bench\n").contains("StdinNull"))
        let newer = words("stdinnull yes\nforkafterauthentication no\nsessiontype none\n")
        for word in ["StdinNull=no", "ForkAfterAuthentication=no", "SessionType=default"] {
            #expect(newer.contains("-o \(word)"))
        }
    }

    @Test func withoutAPathThereIsNothingToTry() {
        let target = Address.Host(name: "bench", user: nil, port: nil)
        for settings in ["", "controlpath none\n"] {
            // No such program: it isn't even started.
            #expect(SSHProgram(["/nowhere/ssh"], to: target, settings: settings).trial() == .none)
        }
    }

    @Test(arguments: [
        (["ssh", "-F", "x"], true), (["/usr/bin/ssh"], true), (["./wrapper"], false), (["myssh"], false),
    ])
    func whichProgramsAreOpenSSH(_ words: [String], _ isSo: Bool) {
        #expect(SSHProgram.isNamed(by: words) == isSo)
    }
}
