import Foundation
import SemQueueTestSupport
import Synchronization
import Testing

@testable import SSHTransport

@Suite struct AuthenticationTests {
    /// Takes keys and nothing else.
    private static let keysOnly = ["PasswordAuthentication no", "KbdInteractiveAuthentication no"]

    // MARK: keys in files

    @Test(arguments: ["ed25519", "ecdsa -b 256", "ecdsa -b 384", "ecdsa -b 521", "ecdsa -m PEM"])
    func aKeyOfType(_ type: String) throws {
        let server = try LoopbackServer(Self.keysOnly)
        let words = type.split(separator: " ").map(String.init)
        try server.workshop.key("own", Array(words.dropFirst()), type: words[0])
        try server.workshop.write("authorized_keys", server.workshop.read("own.pub"))
        try server.connect(["IdentityFile \(server.workshop.path("own"))"]).close()
    }

    @Test func aKeyThatIsNotKnownThere() throws {
        let server = try LoopbackServer(Self.keysOnly)
        try server.workshop.write("authorized_keys", "")
        let error = try server.failure()
        #expect(error.kind == .authentication)
        #expect(error.phase == .authentication)
        #expect(
            error.message == "lab (127.0.0.1:\(server.port)) does not let \(NSUserName()) log in with the key "
                + "offered: is it the right user, and does the key stand in ~/.ssh/authorized_keys there?")
    }

    @Test func aUserThatIsNotThere() throws {
        let server = try LoopbackServer(Self.keysOnly)
        let error = try server.failure(["User nobody-of-that-name"])
        #expect(error.kind == .authentication)
        #expect(error.message.contains("does not let nobody-of-that-name log in"))
    }

    @Test func noKeyAtAll() throws {
        let server = try LoopbackServer(Self.keysOnly)
        let error = try server.failure(["IdentityFile \(server.workshop.path("none"))"])
        #expect(error.kind == .authentication)
        #expect(error.message.hasPrefix("there is no key for lab (127.0.0.1:\(server.port))"))
    }

    @Test func aServerThatAlsoTakesPasswordsIsLeftToSSH() throws {
        let server = try LoopbackServer(["PasswordAuthentication yes", "KbdInteractiveAuthentication no"])
        try server.workshop.write("authorized_keys", "")
        let error = try server.failure()
        #expect(error.kind == .unsupported)
        #expect(
            error.message
                == "lab (127.0.0.1:\(server.port)) took no key and also takes password, which only ssh can do")
        #expect(error.keysAreUsedUp)
    }

    @Test func aServerThatWantsMoreThanAKeyIsLeftToSSH() throws {
        let server = try LoopbackServer(
            ["AuthenticationMethods publickey,password", "KbdInteractiveAuthentication no"])
        let error = try server.failure()
        #expect(error.kind == .unsupported)
        #expect(error.message.contains("wants more than a key (password)"))
    }

    @Test func anRSAKeyIsLeftToSSH() throws {
        let server = try LoopbackServer(Self.keysOnly)
        try server.workshop.key("rsa", ["-b", "2048"], type: "rsa")
        let error = try server.failure(["IdentityFile \(server.workshop.path("rsa"))"])
        #expect(error.kind == .unsupported)
        // The configuration tells already, without a connection.
        #expect(error.phase == .configuration)
        let agent = try TestAgent(server.workshop)
        try agent.add("rsa")
        let later = try server.failure([
            "IdentityFile \(server.workshop.path("rsa"))", "IdentityAgent \(agent.socket)", "IdentitiesOnly no",
        ])
        #expect(later.kind == .unsupported)
        #expect(later.message.contains("RSA key"))
    }

    @Test func aKeyFileThatIsNoKey() throws {
        let server = try LoopbackServer(Self.keysOnly)
        try server.workshop.write(
            "broken", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
        let error = try server.failure(["IdentityFile \(server.workshop.path("broken"))"])
        #expect(error.kind == .unsupported)
        #expect(error.message.contains("libssh2 can't use the key \(server.workshop.path("broken"))"))
    }

    // MARK: passphrases

    @Test func aPassphraseIsAskedForUntilItIsRight() throws {
        let server = try LoopbackServer(Self.keysOnly)
        try server.workshop.key("own", passphrase: "open sesame")
        try server.workshop.write("authorized_keys", server.workshop.read("own.pub"))
        let prompts = Mutex<[String]>([])
        let answers = ["close sesame", "open sesame"]
        try server.connect(["IdentityFile \(server.workshop.path("own"))"]) { options in
            options.askPassphrase = { prompt, _ in
                let number = prompts.withLock {
                    $0.append(prompt)
                    return $0.count
                }
                return SSHSecret(answers[number - 1])
            }
        }.close()
        let (who, path) = ("(\(NSUserName())@lab)", server.workshop.path("own"))
        #expect(
            prompts.withLock { $0 } == [
                "\(who) Passphrase for the key \(path): ", "\(who) That was not it. Passphrase for the key \(path): ",
            ])
    }

    @Test func aPassphraseThatIsWrongIsAskedForThreeTimes() throws {
        let server = try LoopbackServer(Self.keysOnly)
        try server.workshop.key("own", passphrase: "open sesame")
        try server.workshop.write("authorized_keys", server.workshop.read("own.pub"))
        let asked = Mutex(0)
        let error = try server.failure(["IdentityFile \(server.workshop.path("own"))"]) { options in
            options.askPassphrase = { _, _ in
                asked.withLock { $0 += 1 }
                return SSHSecret("close sesame")
            }
        }
        #expect(asked.withLock { $0 } == 3)
        #expect(error.kind == .authentication)
        #expect(error.message.contains("the passphrase of \(server.workshop.path("own")) was wrong"))
    }

    @Test func noPassphraseIsAskedForAKeyThatIsOfNoUse() throws {
        let server = try LoopbackServer(Self.keysOnly)
        try server.workshop.key("own", passphrase: "open sesame")
        let error = try server.failure(["IdentityFile \(server.workshop.path("own"))"]) { options in
            options.askPassphrase = { _, _ in
                Issue.record("somebody was asked")
                return nil
            }
        }
        #expect(error.kind == .authentication)
    }

    @Test func aPassphraseThatIsNotGiven() throws {
        let server = try LoopbackServer(Self.keysOnly)
        try server.workshop.key("own", passphrase: "open sesame")
        try server.workshop.write("authorized_keys", server.workshop.read("own.pub"))
        let error = try server.failure(["IdentityFile \(server.workshop.path("own"))"])
        #expect(error.kind == .authentication)
        #expect(error.message.contains("the passphrase of \(server.workshop.path("own")) was not given"))
        #expect(!error.message.contains("sesame"))
    }

    @Test func aKeyEncryptedAsLibssh2CantReadIsLeftToSSH() throws {
        let server = try LoopbackServer(Self.keysOnly)
        try server.workshop.key("own", ["-Z", "chacha20-poly1305@openssh.com"], passphrase: "open sesame")
        try server.workshop.write("authorized_keys", server.workshop.read("own.pub"))
        let error = try server.failure(["IdentityFile \(server.workshop.path("own"))"])
        #expect(error.kind == .unsupported)
        #expect(!error.keysAreUsedUp)
        #expect(error.message.contains("is encrypted with chacha20-poly1305@openssh.com"))
    }

    // MARK: agents

    @Test func anAgentSigns() throws {
        let server = try LoopbackServer(Self.keysOnly)
        let agent = try TestAgent(server.workshop)
        try agent.add("id")
        // The private key is nowhere else.
        unlink(server.workshop.path("id"))
        for lines in [["IdentitiesOnly no"], ["IdentitiesOnly yes"]] {
            let session = try server.connect(lines + ["IdentityAgent \(agent.socket)"])
            #expect(try session.run("echo in").out == "in\n")
            session.close()
        }
    }

    @Test func anAgentWithNineKeys() throws {
        let server = try LoopbackServer(Self.keysOnly)
        let agent = try TestAgent(server.workshop)
        for number in 1...8 {
            try server.workshop.key("other\(number)")
            try agent.add("other\(number)")
        }
        try agent.add("id")
        // Six wrong ones are the server's limit, so the right one has to come before: it is configured.
        let lines = ["IdentityAgent \(agent.socket)", "IdentitiesOnly no"]
        unlink(server.workshop.path("id"))
        try server.connect(lines).close()
        unlink(server.workshop.path("id.pub"))
        let error = try server.failure(lines)
        #expect(error.kind == .authentication)
        #expect(error.message.contains("Too many authentication failures"))
        #expect(error.message.contains("name one with IdentityFile and IdentitiesOnly"))
    }

    @Test func anAgentThatHangsIsLeftAlone() throws {
        let server = try LoopbackServer(Self.keysOnly)
        let agent = try TestAgent(server.workshop)
        try agent.add("id")
        kill(agent.pid, SIGSTOP)
        // The key in the file serves all the same.
        let began = ContinuousClock.now
        try server.connect(["IdentityAgent \(agent.socket)"]) { $0.limits.agent = .milliseconds(200) }.close()
        #expect(ContinuousClock.now - began < .seconds(10))
        unlink(server.workshop.path("id"))
        let error = try server.failure(["IdentityAgent \(agent.socket)"]) { $0.limits.agent = .milliseconds(200) }
        #expect(error.message.contains("the agent at \(agent.socket) does not answer within 0.2 seconds"))
    }

    @Test func anAgentThatHangsWhenItShouldSign() throws {
        let server = try LoopbackServer(Self.keysOnly)
        let key = try server.workshop.publicKey("id.pub")
        let agent = try FakeAgent(server.workshop) { connection in
            var buffer = [UInt8](repeating: 0, count: 5)
            _ = read(connection, &buffer, 5)
            var message: [UInt8] = [12]
            message.append(sshNumber: 1)
            message.append(sshBytes: key.blob)
            message.append(sshBytes: "hangs".utf8)
            var frame: [UInt8] = []
            frame.append(sshBytes: message)
            _ = write(connection, frame, frame.count)
            // And not a word more.
        }
        unlink(server.workshop.path("id"))
        let error = try server.failure(["IdentityAgent \(agent.path)"]) { $0.limits.agent = .milliseconds(200) }
        #expect(error.kind == .authentication)
        #expect(error.message.contains("does not answer within 0.2 seconds"))
    }

    @Test(
        arguments: [
            [0, 0, 0, 1, 5], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 5, 12, 0xff, 0xff, 0xff, 0xff],
            [0, 0, 0, 9, 12, 0, 0], [],
        ] as [[UInt8]])
    func anAgentThatTalksNonsense(_ bytes: [UInt8]) throws {
        let server = try LoopbackServer(Self.keysOnly)
        let agent = try FakeAgent(server.workshop) { connection in
            _ = write(connection, bytes, bytes.count)
            close(connection)
        }
        try server.connect(["IdentityAgent \(agent.path)"]).close()
        unlink(server.workshop.path("id"))
        let error = try server.failure(["IdentityAgent \(agent.path)"])
        #expect(error.message.contains("the agent at \(agent.path) speaks another protocol or hung up"))
    }

    @Test func anAgentThatIsNotThere() throws {
        let server = try LoopbackServer(Self.keysOnly)
        let path = server.workshop.path("nowhere")
        try server.connect(["IdentityAgent \(path)"]).close()
        unlink(server.workshop.path("id"))
        let error = try server.failure(["IdentityAgent \(path)"])
        #expect(error.message.contains("the agent at \(path) can't be reached (No such file or directory)"))
    }

    @Test func anAgentThatRefuses() throws {
        let server = try LoopbackServer(Self.keysOnly)
        let agent = try TestAgent(server.workshop)
        // Each use wants a confirmation, and nobody is there to give it.
        try agent.add("id", "-c")
        unlink(server.workshop.path("id"))
        let error = try server.failure(["IdentityAgent \(agent.socket)"])
        #expect(error.message.contains("the agent at \(agent.socket) refused to sign"))
    }
}

extension SSHSecret {
    convenience init(_ text: String) {
        self.init(capacity: text.utf8.count) { room in
            room.copyBytes(from: text.utf8)
            return text.utf8.count
        }
    }
}
