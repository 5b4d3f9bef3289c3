"""What was done to each job, or to what it depends on, and how it may end for that. No I/O, no clock.

Times are ns. A job is blamed on nothing but what hit itself: its own processes, link, agent, relay or session, the
network of its host, the semaphore's host.
"""

from dataclasses import dataclass
from enum import Enum

from remote import plan

# Exit codes of semq; and of whoever died of SIGKILL.
IO_ERROR, UNREACHABLE, NOT_GRANTED, LOST, KILLED = 74, 69, 75, 76, -9

SECOND = 1_000_000_000
# What a lease survives, in one piece.
SURVIVED = int(0.6 * plan.LEASE * SECOND)
# Until a client has a new connection once it can have one: what begins before that goes on with the same piece.
RETURN = SECOND
# Until a client has noticed that somebody on the way stands still, and has another connection.
NOTICED = int(0.3 * plan.LEASE * SECOND)
# Until a waiter that was cut off stands in line again.
IN_LINE = 2 * SECOND
# From a grant to the command's first word, at most.
START = SECOND


class Act(Enum):
    APART = "nothing comes through, or one end stands still"
    BROKEN = "the connection is of no use any more; another can be had"
    SHUT = "no new connection can be had"
    ORPHANED = "the agent is dead"
    UNGUARDED = "the guardian is dead"
    KILLED = "semq or the command is dead"
    TOLD = "semq was told to end"
    RELEASED = "the turn was ended"


@dataclass
class Harm:
    act: Act
    what: str
    start: int
    end: int  # None: it lasts
    joined: frozenset  # jobs that had an agent in the queue when it began; others are on the way there

    def __str__(self):
        end = f" … {self.end / SECOND:.6f}" if self.end and self.end > self.start else "" if self.end else " …"
        return f"[{self.start / SECOND:.6f}{end}] {self.what}: {self.act.value}"


@dataclass
class Course:
    """Of a job, as it was seen from outside."""

    number: int
    options: tuple
    host: str
    is_local: bool  # on the semaphore's own host
    spawned: int
    ended: int
    entered: int = None  # when its command began, if it did
    own: frozenset = frozenset()  # exit codes that its command may have of itself

    @property
    def granted(self):
        """It may hold from then on."""
        return self.spawned if self.entered is None else self.entered - START


class Harms:
    def __init__(self):
        self._jobs = {}  # number: [Harm]
        self._hosts = {}  # name: [Harm], to all jobs there

    def to_job(self, number, act, what, start, end=None, joined=frozenset()):
        return self._note(self._jobs.setdefault(number, []), Harm(act, what, start, end, joined))

    def to_hosts(self, names, act, what, start, end=None, joined=frozenset()):
        harm = Harm(act, what, start, end, joined)
        for name in names:
            self._note(self._hosts.setdefault(name, []), harm)
        return harm

    @staticmethod
    def _note(harms, harm):
        harms.append(harm)
        return harm

    def shorten(self, most):
        """As if none had lasted longer."""
        for harm in (each for harms in (*self._jobs.values(), *self._hosts.values()) for each in harms):
            harm.end = min(harm.end or harm.start + most, harm.start + most)

    def of(self, course):
        """All that hit a job while it ran, cut off at its end; the earliest first."""
        found = []
        for harm in self._jobs.get(course.number, []) + self._hosts.get(course.host, []):
            end = course.ended if harm.end is None else min(harm.end, course.ended)
            if harm.start <= course.ended and end >= course.spawned:
                found.append(Harm(harm.act, harm.what, harm.start, end, harm.joined))
        return sorted(found, key=lambda harm: harm.start)

    def ends(self, course):
        """The exit codes that a job may have."""
        harms = self.of(course)
        acts = {harm.act for harm in harms}
        codes = {0} if course.entered else set()
        if not course.entered and not {"-w", "-n"}.isdisjoint(course.options):
            codes.add(NOT_GRANTED)
        codes |= course.own
        if Act.TOLD in acts:
            # By death, or by the exit code of a shell or `timeout` inside.
            codes |= {code for number in (1, 2, 15) for code in (-number, 128 + number)}
        if Act.RELEASED in acts:
            codes.add(LOST)
        if Act.KILLED in acts:
            codes |= {KILLED, 128 - KILLED} if course.own else {KILLED}
        if Act.UNGUARDED in acts and course.entered:
            codes.add(IO_ERROR)  # it took the knowledge with it of how the command ended
        if self.may_lose(course):
            codes.add(LOST)
        if self._may_be_turned_away(course, harms):
            codes.add(UNREACHABLE)
        return codes

    def may_lose(self, course):
        """Whether its lock may be lost: its agent is dead, or it was out of reach for longer than a lease survives."""
        if course.is_local:
            return False
        if any(harm.act is Act.ORPHANED and harm.end >= course.granted for harm in self.of(course)):
            return True
        return any(end >= course.granted and end - start >= SURVIVED for start, end in self.pieces(course))

    def _may_be_turned_away(self, course, harms):
        """Who doesn't keep trying may fail on the way to the queue, or on the way back after the place was lost."""
        if course.is_local or course.entered:
            return False
        longest = max((end - start for start, end in self.pieces(course)), default=0)
        if "--retry-connect" in course.options:
            return longest >= plan.RETRIED * SECOND
        orphaned = [harm.start for harm in harms if harm.act is Act.ORPHANED]
        for harm in harms:
            if harm.act not in (Act.APART, Act.BROKEN, Act.SHUT):
                continue
            if course.number not in harm.joined or any(start <= harm.end for start in orphaned):
                return True
        return longest >= SURVIVED

    def pieces(self, course):
        """[(from, to)] during which it had no way to its agent, each in one piece."""
        found, shut = [], 0
        for harm in self.of(course):
            if harm.act is Act.SHUT:
                shut = max(shut, harm.end)
                if found and harm.start <= found[-1][1] + RETURN:
                    found[-1] = (found[-1][0], max(found[-1][1], harm.end))
            elif harm.act in (Act.APART, Act.BROKEN, Act.UNGUARDED):
                end = max(harm.end, shut)
                if found and harm.start <= found[-1][1] + RETURN:
                    found[-1] = (found[-1][0], max(found[-1][1], end))
                else:
                    found.append((harm.start, end))
        return found

    def aside(self, course):
        """[(from, to)] during which others may go past it."""
        return [(start, end + IN_LINE) for start, end in self.pieces(course)]
