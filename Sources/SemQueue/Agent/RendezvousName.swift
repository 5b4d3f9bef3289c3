internal import Glibc

/// What a client is told to ask for when it comes back, and brings here again: `tmp-SOCKET`, `tmp-FOLDER-SOCKET`, or
/// `SOCKET` for an abstract one, as older agents have it too; in hexadecimal. Never a path, for a key that can only take
/// turns would reach any socket of its user's by one.
struct RendezvousName: Equatable {
    /// Where everybody may make a folder, and nobody take away another's. Not the home, which may lie on another
    /// machine, be full, or be what a client says (AcceptEnv); not XDG_RUNTIME_DIR, which is taken away when a user's
    /// last session ends, as it does with a cut.
    enum Place: String, CaseIterable {
        case tmp
        case shm

        fileprivate var path: String {
            switch self {
            case .tmp: "/tmp"
            case .shm: "/dev/shm"
            }
        }
    }

    /// Nil: the socket is abstract.
    let place: Place?
    /// Of a folder that is this agent's alone; nil for the one of all agents of its user.
    let own: String?
    /// The socket's own name.
    let socket: String

    /// Names for one agent, the best first.
    static func random() -> [RendezvousName] {
        let (socket, own) = (Secret.random().text, String(Secret.random().text.prefix(ownLength)))
        // The usual name may have been taken by another user, on purpose; a random one can't be.
        let inFolders = Place.allCases.flatMap { place in
            [nil, own].map { RendezvousName(place: place, own: $0, socket: socket) }
        }
        return inFolders + [RendezvousName(place: nil, own: nil, socket: socket)]
    }

    var text: String { [place?.rawValue, own, socket].compactMap { $0 }.joined(by: "-") }

    /// The folder's path; nil for an abstract socket.
    var folder: String? {
        place.map { "\($0.path)/semq-\(geteuid())\(own.map { "-\($0)" } ?? "")" }
    }

    private static let ownLength = 16
    private static let socketLength = 32
}

extension RendezvousName {
    /// Nil for what no agent is called.
    init?(_ text: String) {
        var parts = text.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard let socket = parts.popLast(), Self.isHexadecimal(socket, Self.socketLength) else { return nil }
        switch parts.count {
        case 0: self.init(place: nil, own: nil, socket: socket)
        case 1, 2:
            guard let place = Place(rawValue: parts[0]),
                parts.count == 1 || Self.isHexadecimal(parts[1], Self.ownLength)
            else { return nil }
            self.init(place: place, own: parts.count == 2 ? parts[1] : nil, socket: socket)
        default: return nil
        }
    }

    private static func isHexadecimal(_ text: String, _ count: Int) -> Bool {
        text.utf8.count == count
            && text.utf8.allSatisfy { byte in
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
            }
    }
}
