import Foundation
import Synchronization

/// Work on many threads: what is tested mostly waits for processes.
package enum Parallel {
    /// Runs the body for 1, 2, 3 … until it returns nil, `width` at a time. Five failures end it too.
    package static func untilNil<Value: Sendable>(
        width: Int, _ body: @escaping @Sendable (Int) throws -> Value?
    ) -> (results: [Value], failures: [String]) {
        let progress = Progress<Value>()
        let group = DispatchGroup()
        for _ in 0..<width {
            group.enter()
            Thread.detachNewThread {
                while let number = progress.next() { progress.finish(Result { try body(number) }) }
                group.leave()
            }
        }
        group.wait()
        return progress.state.withLock { ($0.results, $0.failures) }
    }

    private final class Progress<Value: Sendable>: Sendable {
        struct State {
            var last = 0
            var isOver = false
            var results: [Value] = []
            var failures: [String] = []
        }
        let state = Mutex(State())

        func next() -> Int? {
            state.withLock { state in
                guard !state.isOver else { return nil }
                state.last += 1
                return state.last
            }
        }

        func finish(_ result: Result<Value?, any Error>) {
            state.withLock { state in
                switch result {
                case .success(nil): state.isOver = true
                case .success(let value?): state.results.append(value)
                case .failure(let error): state.failures.append("\(error)")
                }
                if state.failures.count >= 5 { state.isOver = true }
            }
        }
    }
}
