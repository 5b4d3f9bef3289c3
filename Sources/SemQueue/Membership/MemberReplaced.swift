/// The path names another file, or none: somebody has deleted or moved the queue that this member waits in.
extension Member {
    /// Waits until those have ended who hold the file. The members of the new one know nothing of them.
    /// - Returns: an outcome where the wait ends before.
    func outlastHolders() throws -> Outcome? {
        own.unlockAll()
        // Of no place in the old line: nobody is ahead.
        let ticket = Ticket(priority: Ticket.priorities.upperBound, number: Ticket.numbers.lowerBound)
        let place = LocalPlace(ticket, file: file, own: own, gate: gate, isFormer: true)
        let slots = SlotWatch(gate)
        defer { slots.stop() }
        var former = FormerHolders()
        var isTold = false
        while true {
            if alarm.isRung { return .cancelled }
            if let deadline, .monotonic() >= deadline { return .timedOut }
            let (sight, left) = try underMutex {
                var header = Book.header(from: own)
                let sight =
                    header == nil
                    ? self.sight(nil, from: ticket, through: gate.description).0
                    : settledSight(&header!, from: ticket)
                return (sight, former.look((sight.held + sight.kept).map(occupied)))
            }
            guard !left.isEmpty || sight.isHeldOff else { return nil }
            if request.limit == .zero { return .busy(.held) }
            if !isTold { observer.tells("\(path): \(news(of: left))") }
            isTold = true
            // A stop gives up nothing here.
            _ = observer.lostPlace()
            let held = left.filter(sight.held.contains)
            block(min(Self.looks, sight.keptFor ?? Self.looks), place) {
                if held.isEmpty { alarm.sleep($0) } else { slots.await(held, alarm, $0) }
            }
        }
    }

    /// Before a queue is opened anew that is looked for from the folder that we stand in: in one that was moved it would be
    /// the one there.
    /// - Throws: ``SemaphoreError`` where the folder is another by now.
    func checkFolder() throws(SemaphoreError) {
        guard request.isConfined ? file.isFolderInPlace : !file.hasGoneAlong else { throw file.folderMoved() }
    }

    private static let looks = Duration.milliseconds(250)

    private func occupied(_ slot: Int) -> FormerHolders.Occupied {
        let record = QueueFile.record(SlotRecord.self, at: QueueFile.slotLines.lowerBound + slot, from: own)
        return FormerHolders.Occupied(slot: slot, token: record?.lastHolder?.token)
    }

    private func news(of left: [Int]) -> String {
        let holders = QueueStatus(of: file, through: gate.description, withWaiting: false).holders
            .filter { left.contains($0.slot) }
        let told = "the queue file was deleted or replaced; waits until nobody holds the old one any more"
        guard let party = holders.first(where: { $0.party != .unknown })?.party else { return told }
        let others = holders.count - 1
        return "\(told): \(party.user)@\(party.host) (pid \(party.pid))\(others > 0 ? " and \(others) more" : ""): "
            + party.description
    }
}
