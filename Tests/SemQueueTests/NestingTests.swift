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

    @Test(arguments: [nil, "", "garbage", "xyz 0 1 2", "1 5000 1 2", "1 0 0 2", "1 0 -1 2", "1 0 1", "1 0 1 2 3"])
    func whatCannotBeVerifiedIsLeftOut(_ environment: String?) {
        #expect(Nesting(environment: environment).permits.isEmpty)
    }
}
