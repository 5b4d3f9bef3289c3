"""What the rounds of both modes share: one queue, jobs kept in flight, an agenda of faults, the log, the judgement."""

import heapq
import itertools
import os
import time
from collections import Counter, deque

import oracle
from board import Board

SLOTS = 64


class Drive:
    """A round is one of these that knows how to start jobs, to wait, and what to do to them.

    `plan` is the module that draws the faults and jobs.
    """

    def __init__(self, folder, plan, seed, concurrency, seconds, locked, without):
        self.folder, self.plan = folder, plan
        self.seed, self.concurrency, self.seconds = seed, concurrency, seconds
        self.locked, self.without = locked, without
        self.hurry = 1  # so many times as many faults as usual
        os.mkdir(folder)
        self.log_path = os.path.join(folder, "log")
        self.counters = os.path.join(folder, "counters")
        for path, content in ((self.log_path, b""), (self.counters, bytes(SLOTS * 8))):
            with open(path, "wb") as file:
                file.write(content)
        self.log = open(self.log_path, "rb", buffering=0)
        self.rest = b""
        self.board = Board(folder)

        self.number = 0  # of the next job
        self.entered = {}  # job number: words of its E line
        self.left = set()
        self.touched = set()  # jobs that something was done to
        self.deeds = []  # (ns, what)
        self.exits = Counter()
        self.odd_exits = []  # (s, exit code, text)
        self.done = Counter()  # faults by kind
        self.problems = []  # texts: what went wrong beyond what the log tells
        self.leaks = []

        self.armed = deque()  # faults that wait for a victim
        self.agenda = []  # (ns, number, action)
        self.order = itertools.count()
        self.evidence = oracle.Evidence()
        self.findings = None
        self.ending = False

    # For the round to say

    def _begin(self):
        """Before the first job: the queue is made."""

    def _fill(self):
        """Starts as many jobs as there is room for."""

    def _wait(self, seconds):
        """Until something has happened."""

    def _collect(self):
        """Takes in what has happened, the log aside."""

    def _entered(self, number, words):
        """A command has begun."""

    def _sprung(self, number, moment):
        """The trap that was set for a job has sent its signal then; 0: nobody was there."""

    def _do(self, fault):
        pass

    def _drain(self):
        """Everybody goes on and nobody comes: the queue must run empty."""

    def leaked(self):
        """Texts of what is left of the locks when all is dead."""
        return []

    # Running

    def run(self):
        self._note_clock()
        self._begin()
        self.evidence.limits.append((0, self.concurrency))
        self.start = time.monotonic_ns()
        for fault in self._faults():
            self._at(self.start + int(fault.at * 1e9), lambda fault=fault: self._do(fault))
        end = self.start + int(self.seconds * 1e9)
        # What found no victim yet gets some more time.
        while (now := time.monotonic_ns()) < end or (self.armed and now < end + 5_000_000_000):
            self._step()
            self._fill()
        self.ending = True
        self.armed.clear()
        self.agenda = []
        self._drain()
        self._read_log()
        self._note_clock()
        return self._judge()

    def _faults(self):
        if not self.locked:
            return []
        faults = self.plan.draw_faults(self.seed, self.concurrency, self.seconds * self.hurry, self.without)
        for fault in faults:
            fault.at /= self.hurry
        return faults

    def _step(self):
        now = time.monotonic_ns()
        wait = 0.02 if not self.armed else 0.002
        if self.agenda:
            wait = min(wait, max(0, (self.agenda[0][0] - now) / 1e9))
        self._wait(wait)
        self._collect()
        self._read_log()
        self.board.look()
        # Up to now and no further: an action may plan the next for a moment that has passed when it ends.
        now = time.monotonic_ns()
        while self.agenda and self.agenda[0][0] <= now:
            heapq.heappop(self.agenda)[2]()

    def _at(self, moment, action):
        heapq.heappush(self.agenda, (moment, next(self.order), action))

    def _after(self, seconds, action):
        self._at(time.monotonic_ns() + int(seconds * 1e9), action)

    def _note(self, moment, what):
        self.deeds.append((moment, what))

    def _note_clock(self):
        now = time.time_ns() - time.monotonic_ns()
        old = self.evidence.clock
        self.evidence.clock = (min(old[0], now), max(old[1], now)) if old[0] else (now, now)

    def _draw_job(self):
        job = self.plan.draw_job(self.seed, self.concurrency, self.number)
        self.number += 1
        if job.priority:
            self.evidence.priority[job.number] = job.priority
        return job

    def _unlocked(self, job):
        """What a command finds in its environment that nobody has given a permit."""
        return {"SEMQ_SLOT": "0", "SEMQ_TICKET": str(job.number), "SEMQ_TOKEN": str(job.number)}

    def _read_log(self):
        chunk = self.log.read(1 << 20)
        if not chunk:
            return
        lines = (self.rest + chunk).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            words = line.decode().split()
            if len(words) < 2 or not words[1].isdigit():
                continue
            number = int(words[1])
            if words[0] == "T":
                self._sprung(number, int(words[2]))
            elif words[0] == "X":
                self.left.add(number)
            elif words[0] == "E" and len(words) == oracle.ENTRY_WORDS:
                self.entered[number] = words
                self._entered(number, words)

    # The end

    def _judge(self):
        with open(self.log_path, "rb") as file:
            sections, pairs, odd = oracle.read_log(file.read().decode().splitlines())
        self.evidence.board, self.evidence.pairs = self.board.seen, pairs + sorted(self.board.pairs)
        self.problems += [f"a line of the log makes no sense: {line}" for line in odd]
        with open(self.counters, "rb") as file:
            content = file.read()
        final = [int.from_bytes(content[i : i + 8], "little") for i in range(0, len(content), 8)]
        with open(os.path.join(self.folder, "deeds"), "w") as file:
            file.writelines(f"{moment / 1e9:.6f} {what}\n" for moment, what in sorted(self.deeds))
        still = self.board.end()
        if self.locked:
            self.problems += still
        self.leaks = self.leaked() if self.locked else []
        self.findings = oracle.judge(sections, self.evidence, final)
        return self
