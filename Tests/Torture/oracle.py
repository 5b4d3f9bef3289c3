"""Judges what the workers logged, knowing nothing of semq: no I/O, no clock.

A section's interval is one in which its worker was *certainly* inside. It begins with the worker's own
stamp. It ends with the worker's stamp, or, where the worker was killed, with the moment just before the
signal was sent to a process that was alive then, or with the last sign of life of any of its processes.
So two intervals that overlap are an overlap, never an error of measurement; what is not seen is the
microseconds that a kill takes to be felt, and there the witness stands: a lock of the worker's own, and its
descendants', that the kernel drops before the semaphore's.

A turn is more than its command: whoever it has left in its session counts, and daemons too where the turn was ended
by somebody, or was lost. Each of them has a lock at the board, which the kernel takes away at its death, and looks for
others when it comes there; so does the driver. An interval lasts until the last of them was seen.
"""

import heapq
import signal
from bisect import bisect_right
from dataclasses import dataclass, field

ENTRY_WORDS = 11
DAEMON = "daemon"


@dataclass
class Section:
    job: int
    slot: int
    ticket: int
    token: int
    pid: int
    parent: int
    entry: int  # ns
    value: int  # read from the slot's counter
    clash: bool
    beater: int  # pid of the one that gives signs of life beside it; 0 for none
    end: int = None  # ns
    wrote: bool = None  # None: it was killed, and may have written or not
    ended_by: str = "nothing"  # exit; kill, by the torture run; semq, because the lock was lost
    lost: bool = False  # its lock was lost while it was inside
    told: int = 0  # the signal by which it was told to leave

    def __str__(self):
        wrote = {True: f"wrote {self.value + 1}", False: "wrote nothing", None: "killed"}[self.wrote]
        end = f"{self.end / 1e9:.6f}" if self.end else "?"
        return (
            f"slot {self.slot} [{self.entry / 1e9:.6f} … {end}] job {self.job} pid {self.pid} ticket {self.ticket} "
            f"token {self.token}: read {self.value}, {wrote}{', saw another inside' if self.clash else ''}"
        )


@dataclass
class Evidence:
    """What the driver knows."""

    kills: dict = field(default_factory=dict)  # pid of a worker: the moment before its SIGKILL, ns
    spawned: dict = field(default_factory=dict)  # job: ns
    priority: dict = field(default_factory=dict)  # job: its priority, where it isn't 0
    stopped: dict = field(default_factory=dict)  # job: [(from, to)] while it stood still, or was cut off; to: None, ever
    signs: dict = field(default_factory=dict)  # job: the last sign of life of any of its processes, ns
    lost: set = field(default_factory=set)  # jobs whose semq has said that the lock was lost
    expired: set = field(default_factory=set)  # tickets of holders that never said goodbye
    unwatched: set = field(default_factory=set)  # jobs whose semq was killed, and could not say so
    board: dict = field(default_factory=dict)  # job: {kind: when one was seen at the board, ns}
    pairs: list = field(default_factory=list)  # (job, kind, ns, other job, its kind): both at the board then
    ended: set = field(default_factory=set)  # jobs whose turn was ended by SIGTERM to semq, or by release
    family: set = field(default_factory=set)  # jobs that leave something in their session
    # What the documents say is not covered: job: (why, kinds that may be beside the next turn).
    uncovered: dict = field(default_factory=dict)
    forsaken: dict = field(default_factory=dict)  # job: when nobody was left who could end it, ns
    # The largest concurrency that may be in force, from a moment on: [(ns, limit)].
    limits: list = field(default_factory=list)
    headers_lost: list = field(default_factory=list)  # ns: tickets may be numbered anew from there
    disturbed: list = field(default_factory=list)  # [(from, to)]: no grant can be expected there
    # CLOCK_REALTIME − CLOCK_MONOTONIC, the least and the most seen: a token is the wall clock in µs.
    clock: tuple = (0, 0)


@dataclass
class Findings:
    grants: int = 0
    overlaps: list = field(default_factory=list)  # texts
    clashes: int = 0  # workers that found the witness locked
    beside: list = field(default_factory=list)  # processes of two turns at the board
    neighbours: set = field(default_factory=set)  # jobs of which such processes were
    accounted: dict = field(default_factory=dict)  # why: jobs of which that was so, and may be
    trees: list = field(default_factory=list)  # something of a lost holder's was alive after the next grant
    lost: list = field(default_factory=list)  # updates
    tokens: list = field(default_factory=list)
    vanished: list = field(default_factory=list)
    inversions: int = 0
    passed: int = 0  # inversions that a stopped waiter explains
    unexplained: list = field(default_factory=list)
    recovery: tuple = (0, "")  # ns, what it was
    recoveries: int = 0
    losses: int = 0  # locks lost while the command was inside
    unseen: list = field(default_factory=list)  # jobs of those whose semq was dead, and could not say so
    margin: tuple = None  # ns, what: least time from a lost holder's last sign of life to the next entry
    silent_margin: tuple = None  # the same of those that never said goodbye
    handover: tuple = None  # ns, what: most time of that kind
    silence: tuple = (0, 0)  # longest time without a grant, and when: ns
    completed: int = 0
    unknown: int = 0


def read_log(lines):
    """Sections by job, and who found whom at the board, from the log's lines. Lines of no kind are returned too."""
    sections, pairs, odd = {}, [], []
    for line in lines:
        words = line.split()
        if len(words) == ENTRY_WORDS and words[0] == "E":
            job, slot, ticket, token, pid, parent, entry, value, clash, beater = map(int, words[1:])
            sections[job] = Section(job, slot, ticket, token, pid, parent, entry, value, bool(clash), beater)
        elif len(words) == 5 and words[0] == "X" and int(words[1]) in sections:
            section = sections[int(words[1])]
            section.end, section.wrote, section.ended_by = int(words[2]), words[3] == "1", "exit"
            section.told = int(words[4])
        elif len(words) == 6 and words[0] == "B":
            pairs.append((int(words[1]), words[2], int(words[3]), int(words[4]), words[5]))
        elif words[0] != "T":
            odd.append(line)
    return sections, pairs, odd


def judge(sections, evidence, final):
    """`final`: the counters at the end, by slot."""
    found = Findings(grants=len(sections))
    order = sorted(sections.values(), key=lambda section: section.entry)
    for section in order:
        _close(section, evidence, found)
    slots = {}
    for section in order:
        slots.setdefault(section.slot, []).append(section)
    for slot, those in slots.items():
        _exclusion(those, evidence, found)
        _margins(those, evidence, found)
        _updates(those, final[slot], found)
        _tokens(those, found)
    _board(sections, evidence, found)
    _concurrency(order, evidence, found)
    _inversions(order, evidence, found)
    _recovery(order, slots, evidence, found)
    return found


def _close(section, evidence, found):
    sign = evidence.signs.get(section.job, 0)
    section.lost = section.job in evidence.lost
    if section.end is None:
        killed = evidence.kills.get(section.pid)
        section.end = max(section.entry, killed or 0)
        if killed:
            section.ended_by = "kill"
        elif section.lost or section.job in evidence.unwatched:
            if not section.lost:
                found.unseen.append(section.job)
            section.ended_by, section.lost = "semq", True
        else:
            found.vanished.append(f"entered and was never seen to leave or be killed: {section}")
    seen = [moment for kind, moment in evidence.board.get(section.job, {}).items() if _counts(section, kind, evidence)]
    section.end = max(section.end, sign, *seen)
    if section.job in evidence.forsaken:
        # What it does from then on is accounted by those who find it at the board.
        section.end, section.lost = max(section.entry, evidence.forsaken[section.job]), False
    found.losses += section.lost
    found.clashes += section.clash
    found.completed += section.wrote is True
    found.unknown += section.wrote is None


def _is_ended_whole(section, evidence):
    """Nothing of it may be left, daemons included: semq had passed SIGTERM on, or the lock was lost."""
    return section.lost or section.job in evidence.ended and section.told == signal.SIGTERM


def _counts(section, kind, evidence):
    """Whether nobody else may be in its slot while such a process of it is."""
    if kind in evidence.uncovered.get(section.job, ("", ()))[1]:
        return False
    return kind != DAEMON or _is_ended_whole(section, evidence)


def _board(sections, evidence, found):
    told = set()
    for job, kind, moment, other, its in evidence.pairs:
        about = frozenset(((job, kind), (other, its)))
        if about in told:
            continue
        told.add(about)
        daemon = any(
            name == DAEMON and (each not in sections or not _is_ended_whole(sections[each], evidence))
            and DAEMON not in evidence.uncovered.get(each, ("", ()))[1]
            for each, name in about)
        excuses = [
            (evidence.uncovered[each][0], each) for each, name in about
            if each in evidence.uncovered and name in evidence.uncovered[each][1]]
        for why, each in excuses:
            found.accounted.setdefault(why, set()).add(each)
        if excuses or daemon:
            continue
        found.neighbours |= {job, other}
        both = "".join(f"\n      {sections.get(each, f'job {each}, killed before it was in')}" for each in (job, other))
        found.beside.append(f"at {moment / 1e9:.6f} {kind} of job {job} beside {its} of job {other}:{both}")


def _exclusion(those, evidence, found):
    """One slot: never two inside, by the clock and by the witness."""
    last = None
    # Those who have found one there that nobody could end: it has the witness, too.
    excused = {job for job, _, _, other, its in evidence.pairs if its in evidence.uncovered.get(other, ("", ()))[1]}
    for section in those:
        about = f"\n      {last}\n      {section}"
        # What a lost holder leaves alive is an overlap of its own kind.
        cases = found.trees if last and last.lost else found.overlaps
        if last and section.entry < last.end:
            cases.append(f"two in one slot for {(min(section.end, last.end) - section.entry) / 1e6:.3f} ms:{about}")
        elif section.clash and section.job not in excused:
            cases.append(f"another was still alive in the slot:{about}")
        if last is None or section.end > last.end:
            last = section


def _margins(those, evidence, found):
    """From the last sign of life of a holder that has lost its lock to the next entry."""
    for section, after in zip(those, those[1:]):
        if not section.lost or section.job in evidence.ended:
            continue
        margin = after.entry - section.end
        where = f"from job {section.job}, dead at {section.end / 1e9:.6f}, to job {after.job}, slot {section.slot}"
        if found.margin is None or margin < found.margin[0]:
            found.margin = (margin, where)
        if section.ticket not in evidence.expired:
            continue
        if found.silent_margin is None or margin < found.silent_margin[0]:
            found.silent_margin = (margin, where)
        if found.handover is None or margin > found.handover[0]:
            found.handover = (margin, where)


def _updates(those, final, found):
    """One slot's counter, step by step: each reads what the one before has left."""
    possible = {0}
    last = None
    for section in those:
        if section.value not in possible:
            found.lost.append(f"read {section.value} where {_one_of(possible)} was left:\n      {last}\n      {section}")
        possible = {section.value + section.wrote} if section.wrote is not None else {section.value, section.value + 1}
        last = section
    if final not in possible:
        found.lost.append(f"at the end the counter is {final} where {_one_of(possible)} was left:\n      {last}")


def _one_of(values):
    return " or ".join(map(str, sorted(values)))


def _tokens(those, found):
    for before, after in zip(those, those[1:]):
        if after.token <= before.token:
            found.tokens.append(f"the later grant has no greater token:\n      {before}\n      {after}")


def _concurrency(order, evidence, found):
    """Never more inside than allowed when the last of them was granted."""
    moments = [moment for moment, _ in evidence.limits]

    def limit(start, end):
        first = max(0, bisect_right(moments, start) - 1)
        return max(limit for _, limit in evidence.limits[first : max(first + 1, bisect_right(moments, end))])

    inside = []  # (end, number)
    sections = {}
    for number, section in enumerate(order):
        while inside and inside[0][0] <= section.entry:
            del sections[heapq.heappop(inside)[1]]
        heapq.heappush(inside, (section.end, number))
        sections[number] = section
        if len(sections) == 1:
            continue
        # All of them held when the last was granted, which its token tells, at most the wall clock's drift off.
        token = max(each.token for each in sections.values()) * 1000
        earliest, latest = token - evidence.clock[1] - 1_000_000, token - evidence.clock[0] + 1_000_000
        allowed = limit(min(earliest, section.entry), min(latest, section.entry))
        if len(sections) > allowed:
            text = "".join(f"\n      {each}" for each in sections.values())
            found.overlaps.append(f"{len(sections)} inside where {allowed} may be:{text}")


def _inversions(order, evidence, found):
    """A grant after that of a later ticket, of a job that was there then."""
    highest = {}
    for section in sorted(order, key=lambda section: section.token):
        priority = evidence.priority.get(section.job, 0)
        ahead = highest.get(priority)
        if ahead is None or section.ticket > ahead.ticket:
            highest[priority] = section
            continue
        since = min(evidence.spawned[section.job], evidence.spawned[ahead.job])
        if any(since <= lost <= section.entry for lost in evidence.headers_lost):
            continue  # it may have come later: the numbers tell nothing
        found.inversions += 1
        # No later than this the other one was granted, which its token tells.
        granted = ahead.token * 1000 - evidence.clock[1] - 1_000_000
        stops = evidence.stopped.get(section.job, ())
        if any(start <= ahead.entry and (end is None or end >= granted) for start, end in stops):
            found.passed += 1
        else:
            found.unexplained.append(f"granted later though its ticket is earlier:\n      {ahead}\n      {section}")


def _recovery(order, slots, evidence, found):
    """From the kill of a worker inside to the next entry of its slot, where nothing else held it up."""
    disturbed = sorted(evidence.disturbed)
    for those in slots.values():
        for section, after in zip(those, those[1:]):
            if section.ended_by != "kill" or section.job in evidence.family:
                continue
            if any(start <= after.entry and end >= section.end for start, end in disturbed):
                continue
            found.recoveries += 1
            took = after.entry - section.end
            if took > found.recovery[0]:
                where = f"from the kill of job {section.job} at {section.end / 1e9:.6f} to job {after.job}, slot {section.slot}"
                found.recovery = (took, where)
    entries = sorted(section.entry for section in order)
    for before, after in zip(entries, entries[1:]):
        if after - before > found.silence[0]:
            found.silence = (after - before, before)
