/// Who stands behind a ticket, as told in the queue file. Told, not proved: only locks are proof.
public struct Party: Hashable, Sendable {
    /// The process as its own pid namespace numbers it.
    public var pid: Int32
    public var host: String
    public var user: String
    /// Why: the description given, or the command.
    public var description: String

    public init(pid: Int32, host: String, user: String, description: String) {
        self.pid = pid
        self.host = host
        self.user = user
        self.description = description
    }
}

/// The queue's own record. Two copies stand at the start of the file and are written by one call.
struct Header: Equatable {
    /// Where the concurrency comes from: it decides who may contradict it.
    enum Origin: String {
        /// Given, or left at 1, when the queue was made.
        case created
        /// Changed by `set` since: overrides what acquirers ask for.
        case set
        /// Both copies were unreadable: 1 until somebody sets it.
        case recovered
    }

    /// Random, made with the queue: the same for all names and hosts that reach it.
    var queue: UInt64
    var concurrency: Int = 1
    var origin: Origin = .created
    /// The last number drawn.
    var lastTicket: Int64 = 0
    /// The last fencing token drawn.
    var lastToken: Int64 = 0
    /// Nobody is granted while this is set: who paused the queue, and why.
    var pause: Pause?
    /// Waiters that stood still when it was their turn. The others act as if they were not there, until
    /// they go on and take themselves off this list. It bears on the order alone.
    var passed: [Ticket] = []

    /// The highest slot that was ever granted to a remote member, and one more; 0: there was none. The records of
    /// the slots below are read before anybody is granted.
    var remote: Int = 0
    /// The boot in which that happened.
    var remoteBoot: UInt64 = 0
    /// Nobody is granted before: a record that may have been a remote holder's was damaged.
    var holdoff: Expiry?

    /// The token to draw at a time: a larger one than the last.
    func nextToken(at now: Timestamp) -> Int64 {
        // The end is reached by damage alone: they count microseconds.
        lastToken < .max ? max(lastToken + 1, now.microseconds) : now.microseconds
    }

    /// More than this many are passed anew each time.
    static let maximumPassed = 8

    struct Pause: Hashable, Sendable {
        var by: String
        var since: Timestamp
        var reason: String
    }
}

/// A slot's record: who holds it, or that it was given back in good order.
struct SlotRecord: Equatable {
    var queue: UInt64
    var slot: Int
    var state: State

    enum State: Equatable {
        /// Given back in good order, or never held.
        case free
        case held(Holder)
        /// A tombstone: the remote holder's lock is gone without a word, and its work elsewhere may go on until then.
        case dead(Holder, Expiry)
    }

    struct Holder: Equatable {
        var ticket: Ticket
        var token: Int64
        var since: Timestamp
        var party: Party
        /// How long the slot is kept when the lock dies without a word; zero for a local holder, whose work dies
        /// with the lock. In whole milliseconds.
        var lease = Duration.zero
        /// When the lease ends unless it is renewed. For people.
        var expires: Timestamp?
        /// Whether it isn't heard of just now. For people.
        var isSilent = false
        /// Whoever runs under it can prove that (``Proof``). Not so of an older `semq`'s.
        var isProved = true

        var isRemote: Bool { lease > .zero }
    }

    init(queue: UInt64, slot: Int, state: State) {
        self.queue = queue
        self.slot = slot
        self.state = state
    }

    init(queue: UInt64, slot: Int, holder: Holder?) {
        self.init(queue: queue, slot: slot, state: holder.map(State.held) ?? .free)
    }

    /// Who holds the slot, if its lock is held.
    var holder: Holder? {
        if case .held(let holder) = state { holder } else { nil }
    }

    /// Who held it last, as far as is known.
    var lastHolder: Holder? {
        switch state {
        case .free: nil
        case .held(let holder), .dead(let holder, _): holder
        }
    }
}

/// For how long a lock of another machine's may outlive the process that keeps it here.
package enum Lease {
    package static let longest = Duration.seconds(60)
}

/// The record of one who waits.
struct WaiterRecord: Equatable {
    var queue: UInt64
    var ticket: Ticket
    var since: Timestamp
    var party: Party
    /// The process on this host that waits for somebody on another; nil where the party waits itself.
    var agent: Int32?

    var isRemote: Bool { agent != nil }
    /// The process whose lock the place is.
    var process: Int32 { agent ?? party.pid }
}

/// A message to one member: your turn is ended, by whom and why.
struct Note: Equatable {
    var queue: UInt64
    var ticket: Ticket
    /// How long a holder's command has between SIGTERM and SIGKILL, in milliseconds.
    var grace: Int64
    var by: String
    var reason: String
}
