import Testing

@testable import SSHTransport

/// Hashes and base64, against the standards' own examples and coreutils.
@Suite struct DigestTests {
    private func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func sha256(_ text: String, _ digest: String) {
        #expect(hexadecimal(SHA256.hash(Array(text.utf8))) == digest)
    }

    @Test func sha1AndItsMessageAuthenticationCode() {
        #expect(
            hexadecimal(BlockDigest<SHA1>.hash(Array("abc".utf8))) == "a9993e364706816aba3e25717850c26c9cd0d89d")
        let code = BlockDigest<SHA1>.authenticationCode(
            key: [UInt8](repeating: 0x0B, count: 20), message: Array("Hi There".utf8))
        #expect(hexadecimal(code) == "b617318655057264e28bc0b6fb378c8ef146be00")
    }

    @Test func everyLengthAndEveryCut() throws {
        let workshop = try Workshop()
        let text = String((0..<150).map { Character(Unicode.Scalar(UInt8(33 + $0 % 90))) })
        for count in [1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 150] {
            let bytes = Array(text.utf8.prefix(count))
            let whole = SHA256.hash(bytes)
            for cut in 0...count {
                var digest = SHA256()
                bytes[..<cut].withUnsafeBytes { digest.update($0) }
                #expect(digest.value == SHA256.hash(Array(bytes[..<cut])))
                bytes[cut...].withUnsafeBytes { digest.update($0) }
                #expect(digest.value == whole)
            }
            let file = try workshop.write("\(count)", String(text.prefix(count)))
            #expect(try workshop.run("sha256sum", file).hasPrefix(hexadecimal(whole) + " "))
            #expect(try workshop.run("sha1sum", file).hasPrefix(hexadecimal(BlockDigest<SHA1>.hash(bytes)) + " "))
        }
    }

    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"), ("\u{3FF}\u{FB}", "z7/Duw=="),
    ])
    func base64(_ text: String, _ encoded: String) {
        #expect(Base64.encode(Array(text.utf8)) == encoded)
        #expect(Base64.encode(Array(text.utf8), padded: false) == encoded.filter { $0 != "=" })
        #expect(Base64.decode(Array(encoded.utf8)[...]) == Array(text.utf8))
    }

    @Test(arguments: ["Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm 9", "Zm9v\n", "Zg==Zg==", "Zm9-"])
    func whatIsNoBase64(_ text: String) {
        #expect(Base64.decode(Array(text.utf8)[...]) == nil)
    }
}
