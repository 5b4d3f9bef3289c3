import Foundation
import Testing

@testable import SSHTransport

/// A folder for one test, with OpenSSH's programs at hand: they are the measure.
final class Workshop: Sendable {
    let folder: String

    init() throws {
        var template = Array("/tmp/semq-ssh.XXXXXX".utf8CString)
        folder = String(cString: try #require(mkdtemp(&template)))
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        try text.write(toFile: path(name), atomically: false, encoding: .utf8)
        return path(name)
    }

    func read(_ name: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path(name)) ?? Data(), as: UTF8.self)
    }

    func lines(_ name: String) -> [String] { read(name).split(separator: "\n").map(String.init) }

    /// A program of which nobody else has the file open for writing.
    func script(_ name: String, _ text: String) throws -> String {
        try write("\(name).text", "#!/bin/sh\n\(text)\n")
        try run("/bin/sh", "-c", "cp $0.text $0 && chmod 755 $0", path(name))
        return path(name)
    }

    /// Runs a program to its end.
    @discardableResult
    func run(_ words: String..., status: Int32? = 0) throws -> String {
        let output = try ProgramOutput.of(words, limit: .seconds(60))
        if let status { #expect(output.status == status, "\(words): \(output.err)") }
        return output.out
    }

    /// Makes a key pair in `name` and `name.pub`.
    @discardableResult
    func key(_ name: String, _ options: [String] = [], type: String = "ed25519", passphrase: String = "") throws
        -> SSHPublicKey
    {
        let words = [
            "ssh-keygen", "-q", "-t", type, "-N", passphrase, "-C", "\(name) made for a test", "-f", path(name),
        ]
        let output = try ProgramOutput.of(words + options, limit: .seconds(60))
        try #require(output.status == 0, "\(output.err)")
        return try publicKey("\(name).pub")
    }

    func publicKey(_ name: String) throws -> SSHPublicKey {
        try #require(SSHPublicKey(line: Array(read(name).utf8).dropLast()[...]))
    }
}
