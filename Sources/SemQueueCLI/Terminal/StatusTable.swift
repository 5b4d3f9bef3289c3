internal import SemQueue

/// A queue's status as a table for people.
struct StatusTable {
    let now: Timestamp
    let colour: Bool
    /// Columns to fit into; nil where nobody's window is to be fitted.
    let width: Int?

    private enum Style: String {
        case bold = "1", dim = "2", red = "31", green = "32", yellow = "33"
    }

    private func styled(_ text: String, _ styles: Style...) -> String {
        colour ? "\u{1b}[\(styles.map(\.rawValue).joined(separator: ";"))m\(text)\u{1b}[0m" : text
    }

    func text(_ status: QueueStatus) -> String {
        var lines = [title(status)]
        if let pause = status.paused {
            lines.append(
                styled(
                    "paused by \(pause.by.printable) at \(pause.since.local(relativeTo: now)): \(pause.reason.printable)",
                    .yellow))
        }
        if let until = status.heldOffUntil {
            lines.append(
                styled(
                    "nobody is granted until \(until.local(relativeTo: now)): somebody on another host may hold it, "
                        + "whose record was lost",
                    .yellow))
        }
        if status.isRecovered {
            lines.append(
                styled(
                    "its record was damaged: one at a time until somebody says semq set \(status.semaphore.printable) --concurrency N",
                    .red))
        }
        // Only where somebody has one.
        let hasLeases = status.holders.contains { $0.leaseExpires != nil }
        let rows =
            status.holders.flatMap { holder in
                [
                    row(
                        "slot \(holder.slot)\(state(of: holder).map { ", \($0)" } ?? "")", holder.ticket, holder.party,
                        holder.since, remark: holder.remark,
                        lease: hasLeases ? holder.leaseExpires.map { "until \($0.local(relativeTo: now))" } ?? "" : nil)
                ]
                    + holder.nested.map {
                        row("  inside", holder.ticket, $0.party, $0.since, remark: nil, lease: hasLeases ? "" : nil)
                    }
            }
            + zip(places(status.waiting), status.waiting).map { place, waiter in
                row(place, waiter.ticket, waiter.party, waiter.since, remark: nil, lease: hasLeases ? "" : nil)
            }
        guard !rows.isEmpty else { return lines.joined(separator: "\n") + "\n" }
        let head = ["", "TICKET", "WHO", "PID", "SINCE", "FOR"] + (hasLeases ? ["LEASE"] : []) + ["WHAT"]
        let all = [head] + rows
        let widths = all[0].indices.map { column in all.map { $0[column].columns }.max()! }
        for (index, row) in all.enumerated() {
            let cells = row.indices.map { column in
                column == row.count - 1
                    ? row[column]
                    : column == 3 || column == 5
                        ? pad(row[column], widths[column], left: true) : pad(row[column], widths[column])
            }
            var line = "  " + cells.joined(separator: "  ")
            if let width { line = line.fitting(width) }
            while line.last == " " { line.removeLast() }
            lines.append(style(of: index, in: status).map { styled(line, $0) } ?? line)
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// What keeps a holder from going on, or from being ended.
    private func state(of holder: QueueStatus.Holder) -> String? {
        holder.isCutOff ? "cut off" : holder.isStopped ? "stopped" : holder.isOrphaned ? "orphaned" : nil
    }

    /// Those who are in nobody's way have no number.
    private func places(_ waiting: [QueueStatus.Waiter]) -> [String] {
        var number = 0
        return waiting.map { waiter in
            if waiter.isStopped { return waiter.isCutOff ? "cut off" : "stopped" }
            number += 1
            return "\(number)."
        }
    }

    private func style(of row: Int, in status: QueueStatus) -> Style? {
        if row == 0 { return .dim }
        var last = 0
        for holder in status.holders {
            last += 1 + holder.nested.count
            if row <= last { return state(of: holder) == nil ? .green : .yellow }
        }
        return nil
    }

    /// A line above what a host's queues looked like before it was cut off.
    func cut(_ host: String, since: Timestamp) -> String {
        styled(
            "\(host.printable): no connection since \(since.local(relativeTo: now)), when it looked as below; trying again",
            .yellow) + "\n"
    }

    private func title(_ status: QueueStatus) -> String {
        let (held, waiting) = (status.holders.count, status.waiting.count)
        let use =
            held == 0
            ? status.paused != nil ? "paused" : status.heldOffUntil != nil ? "held off" : "free"
            : status.concurrency == 1 ? "held" : "\(held) of \(status.concurrency) held"
        let queue = waiting == 0 ? "nobody waits" : "\(waiting) waiting"
        let beyond = held > status.concurrency ? " (draining to \(status.concurrency))" : ""
        return "\(styled(status.semaphore.printable, .bold)): \(use)\(beyond), \(queue)"
    }

    private func row(
        _ place: String, _ ticket: Ticket, _ party: Party, _ since: Timestamp, remark: String?, lease: String?
    ) -> [String] {
        let known = since.microseconds > 0
        let number =
            ticket.number == 0 ? "?" : "\(ticket.number)" + (ticket.priority == 0 ? "" : " p\(ticket.priority)")
        return [
            place, number, "\(party.user.printable)@\(party.host.printable)", party.pid == 0 ? "?" : "\(party.pid)",
            known ? since.local(relativeTo: now) : "?",
            known ? Standing.span(since.age(at: now)) : "?",
        ] + (lease.map { [$0] } ?? []) + [(party.description + (remark.map { " (\($0))" } ?? "")).printable]
    }

    private func pad(_ text: String, _ width: Int, left: Bool = false) -> String {
        let space = String(repeating: " ", count: max(0, width - text.columns))
        return left ? space + text : text + space
    }
}
