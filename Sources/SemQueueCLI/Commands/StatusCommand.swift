internal import CSemQueue
internal import Glibc
internal import SemQueue

/// `semq status`: who holds, who waits, and why.
struct StatusCommand {
    private let semaphores: [any NamedSemaphore]
    private let json: Bool
    private let watch: Bool

    static let options: [Options.Option] = [.init("json"), .init("watch")] + Hosts.options

    init(_ words: [String]) throws {
        let options = try Options("status", words, Self.options)
        if options.has("help") { throw HelpAsked(command: "status") }
        semaphores = try Hosts.semaphores(options.operands + (options.trailing ?? []), options)
        json = options.has("json")
        watch = options.has("watch")
        guard !semaphores.isEmpty else {
            throw SemaphoreError(.usage, "status: name a semaphore, such as board.queue; see: semq status --help")
        }
    }

    func run() throws -> ExitCode {
        if watch { return try runWatching() }
        let seen = try semaphores.map { try look($0.status()) }
        Terminal.show(render(seen.statuses))
        return complain(of: seen)
    }

    private typealias Sight = Result<QueueStatus, SemaphoreError>

    /// One that can't be read keeps nobody from seeing the others.
    private func look(_ status: @autoclosure () throws -> QueueStatus) throws -> Sight {
        do { return .success(try status()) } catch let error as SemaphoreError { return .failure(error) }
    }

    /// - Returns: the exit code of the first one that can't be read.
    private func complain(of seen: [Sight]) -> ExitCode {
        for error in seen.errors { Terminal.say(error.message) }
        return seen.errors.first.map { ExitCode($0.code) } ?? .success
    }

    /// Until a signal comes, nobody reads any more, or nothing can be seen.
    private func runWatching() throws -> ExitCode {
        let redraws = Terminal.isTerminal(STDOUT_FILENO) && !json
        var shown: [QueueStatus]?
        var told: [String] = []
        // The first look at each host is had here, because it may ask for a password.
        var seen = try semaphores.map { try look($0.status()) }
        let remote = zip(semaphores, seen).compactMap { (try? $1.get()) == nil ? nil : $0 as? RemoteSemaphore }
        let watches = try Dictionary(grouping: remote, by: \.host.name).mapValues { semaphores in
            try HostWatch(
                semaphores, seen.statuses.filter { status in semaphores.contains { $0.name == status.semaphore } })
        }
        guard !seen.statuses.isEmpty else { return complain(of: seen) }
        // As watch(1) does: what stood on the terminal comes back, however this ends.
        if redraws { semq_screen_begin() }
        defer { if redraws { semq_screen_end() } }
        while true {
            for (index, semaphore) in semaphores.enumerated() {
                guard let remote = semaphore as? RemoteSemaphore else {
                    seen[index] = try look(semaphore.status())
                    continue
                }
                // Another host that wasn't reached is not asked again: that may take long, or want a password.
                guard let watch = watches[remote.host.name] else { continue }
                do throws(SemaphoreError) {
                    if let status = try watch.status(of: remote.name) { seen[index] = .success(status) }
                } catch {
                    seen[index] = .failure(error)
                }
            }
            let statuses = seen.statuses
            // When the screen is as it was.
            guard !statuses.isEmpty else { throw seen.errors[0] }
            let news = watches.values.flatMap { $0.news() }
            if redraws {
                let cuts = watches.sorted { $0.key < $1.key }.compactMap { name, watch in
                    watch.cutSince.map { table.cut(name, since: $0) }
                }
                let flaws = seen.errors.map { "semq: \($0.message)\n" }
                let text = Terminal.clipped((cuts + flaws).joined() + render(statuses), STDOUT_FILENO)
                // Home, each line cleared behind its end, the rest below cleared: no flicker.
                Terminal.show("\u{1b}[H" + text.replacing("\n", with: "\u{1b}[K\n") + "\u{1b}[J")
            } else {
                let flaws = seen.errors.map(\.message)
                for line in news + (flaws == told ? [] : flaws) { Terminal.say(line) }
                told = flaws
                if statuses.map(\.essence) != shown { Terminal.show(render(statuses)) }
            }
            shown = statuses.map(\.essence)
            guard !Terminal.isAbandoned(STDOUT_FILENO, within: .milliseconds(redraws ? 500 : 100)) else {
                return .success
            }
        }
    }

    private var table: StatusTable {
        StatusTable(
            now: .now(), colour: Terminal.usesColour(STDOUT_FILENO),
            width: Terminal.isTerminal(STDOUT_FILENO) ? Terminal.width(STDOUT_FILENO) : nil)
    }

    private func render(_ statuses: [QueueStatus]) -> String {
        if json { return statuses.map { $0.json.text + "\n" }.joined() }
        return statuses.map(table.text).joined(separator: "\n")
    }
}

extension [Result<QueueStatus, SemaphoreError>] {
    fileprivate var statuses: [QueueStatus] { compactMap { try? $0.get() } }

    fileprivate var errors: [SemaphoreError] {
        compactMap { if case .failure(let error) = $0 { error } else { nil } }
    }
}

extension QueueStatus {
    /// As `--json` prints it.
    var json: JSON {
        /// Of one whose record can't be read the kernel's locks tell the rest.
        func member(_ ticket: Ticket, _ since: Timestamp, _ party: Party) -> [(String, JSON)] {
            let isNumbered = ticket.number > 0
            let isNamed = party != .unknown && party != .asked
            return [
                ("ticket", isNumbered ? .integer(ticket.number) : .null),
                ("priority", isNumbered ? .integer(Int64(ticket.priority)) : .null),
                ("pid", isNamed ? .integer(Int64(party.pid)) : .null),
                ("host", isNamed ? .string(party.host) : .null), ("user", isNamed ? .string(party.user) : .null),
                ("description", party == .unknown ? .null : .string(party.description)),
                ("since", since.microseconds > 0 ? .string(since.rfc3339) : .null),
            ]
        }
        var members: [(String, JSON)] = [
            ("semaphore", .string(semaphore)), ("concurrency", .integer(Int64(concurrency))),
            (
                "paused",
                paused.map {
                    .object([
                        ("reason", .string($0.reason)), ("by", .string($0.by)), ("since", .string($0.since.rfc3339)),
                    ])
                } ?? .null
            ),
        ]
        // Where there is one: it is rare.
        if let heldOffUntil { members.append(("held_off_until", .string(heldOffUntil.rfc3339))) }
        members += [
            (
                "holders",
                .array(
                    holders.map {
                        .object(
                            member($0.ticket, $0.since, $0.party)
                                + [
                                    ("slot", .integer(Int64($0.slot))),
                                    ("token", $0.token > 0 ? .integer($0.token) : .null),
                                    // Of a process on another host that isn't known.
                                    ("stopped", $0.leaseExpires == nil || $0.isStopped ? .bool($0.isStopped) : .null),
                                ]
                                + ($0.leaseExpires.map { [("lease_expires", .string($0.rfc3339))] } ?? [])
                                + ($0.isCutOff ? [("cut_off", .bool(true))] : [])
                                + ($0.isOrphaned ? [("orphaned", .bool(true))] : [])
                                + ($0.remark.map { [("remark", .string($0))] } ?? [])
                                + ($0.nested.isEmpty ? [] : [("nested", .array($0.nested.map(\.json)))]))
                    })
            ),
            (
                "waiting",
                .array(
                    waiting.map {
                        .object(
                            member($0.ticket, $0.since, $0.party) + [("stopped", .bool($0.isStopped))]
                                + ($0.isCutOff ? [("cut_off", .bool(true))] : []))
                    })
            ),
        ]
        return .object(members)
    }

    /// Without what changes by itself, or with each sign of life of a holder on another host.
    fileprivate var essence: QueueStatus {
        var essence = self
        essence.heldOffUntil = heldOffUntil.map { _ in Timestamp(0) }
        for index in holders.indices where holders[index].leaseExpires != nil {
            essence.holders[index].leaseExpires = Timestamp(0)
        }
        return essence
    }
}

extension QueueStatus.Nested {
    fileprivate var json: JSON {
        .object([
            ("pid", party.pid > 0 ? .integer(Int64(party.pid)) : .null), ("host", .string(party.host)),
            ("user", .string(party.user)), ("description", .string(party.description)),
            ("since", since.microseconds > 0 ? .string(since.rfc3339) : .null),
        ])
    }
}
