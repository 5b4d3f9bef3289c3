import Testing

@testable import SemQueue

/// Permits handed down in the environment.
@Suite struct NestingTests {
    @Test func comesBackAsItWent() {
        let nesting = Nesting(permits: [
            .init(queue: 0xFEDC_BA98_7654_3210, ticket: Ticket(priority: -5, number: 12), token: 1 << 50),
            .init(queue: 1, ticket: Ticket(priority: 0, number: 1), token: 0),
        ])
        #expect(Nesting(environment: nesting.environment) == nesting)
    }

    @Test func secretsGoBesideThem() {
        var nesting = Nesting(permits: [
            .init(queue: 17, ticket: Ticket(priority: 0, number: 2), token: 5, secret: "aa", host: "bench:2222"),
            .init(queue: 18, ticket: Ticket(priority: 0, number: 2), token: 5, secret: "bb"),
            .init(queue: 18, ticket: Ticket(priority: 0, number: 2), token: 6),
        ])
        #expect(nesting.secrets == "11 5 aa bench:2222\n12 5 bb -")
        #expect(Nesting(environment: nesting.environment, secrets: nesting.secrets) == nesting)
        for index in nesting.permits.indices {
            (nesting.permits[index].secret, nesting.permits[index].host) = (nil, nil)
        }
        #expect(Nesting(environment: nesting.environment, secrets: "\n11 5 aa\nx y z -\n13 5 cc -") == nesting)
    }

    /// An older semq passes the line over that it doesn't know.
    @Test func theHostGoesInAWordThatOlderOnesRead() {
        let host = HostIdentity(name: "bench", user: "lab")
        let nesting = Nesting(permits: [
            .init(queue: 17, ticket: Ticket(priority: 0, number: 2), token: 5, secret: "aa", host: host.word)
        ])
        #expect(nesting.secrets == "11 5 aa bench\n11 5 \(host.word)")
        #expect(Nesting(environment: nesting.environment, secrets: nesting.secrets) == nesting)
    }

    /// And of those of older ones, which don't say who keeps them.
    @Test func aHostIsToldOfItsOwn() {
        let ticket = Ticket(priority: 0, number: 2)
        let nesting = Nesting(permits: [
            .init(queue: 1, ticket: ticket, token: 5, secret: "aa", host: "bench"),
            .init(queue: 2, ticket: ticket, token: 6, secret: "bb", host: "other.invalid"),
            .init(queue: 3, ticket: ticket, token: 7, secret: "cc"), .init(queue: 4, ticket: ticket, token: 8),
        ])
        func told(_ host: String) -> [String: String] {
            Dictionary(
                nesting.fields(for: HostIdentity(name: host)).map { ($0.name, $0.value) },
                uniquingKeysWith: { first, _ in first })
        }
        #expect(told("bench") == ["held": "1 0 2 5\n4 0 2 8", "proof": "1 5 aa -"])
        #expect(told("third.invalid") == ["held": "4 0 2 8"])
    }

    @Test func aProofIsOfOneSecret() throws {
        let (secret, other) = (Secret.random(), Secret.random())
        let proof = Proof(secret)
        #expect(proof.isOf(secret.text) && !proof.isOf(other.text) && !proof.isOf(nil) && !proof.isOf(""))
        let record = ProofRecord(queue: 7, ticket: Ticket(priority: -9, number: 3), token: 99, proof: proof)
        #expect(ProofRecord(line: record.line[...]) == record && record.line.count == Line.length)
        #expect(!String(decoding: record.line, as: UTF8.self).contains(secret.text))
        for digest in ["", "ab", proof.digest + "0", String(repeating: "g", count: 64)] {
            #expect(Proof(digest: digest) == nil)
        }
    }

    @Test func linesOfProofsDoNotMeetOthers() {
        let proofs = (0..<LockSpace.maximumConcurrency).map(QueueFile.proofLine)
        #expect(Set(proofs).count == proofs.count)
        let others = [
            0..<2, QueueFile.noteLines, QueueFile.slotLines, QueueFile.waiterLines, QueueFile.remarkLines,
            QueueFile.nestedLines,
        ]
        for (index, region) in others.enumerated() {
            #expect(!proofs.contains(where: region.contains))
            #expect(!others.dropFirst(index + 1).contains { $0.overlaps(region) })
        }
    }

    @Test(arguments: [nil, "", "garbage", "xyz 0 1 2", "1 5000 1 2", "1 0 0 2", "1 0 -1 2", "1 0 1", "1 0 1 2 3"])
    func whatCannotBeVerifiedIsLeftOut(_ environment: String?) {
        #expect(Nesting(environment: environment).permits.isEmpty)
    }
}
