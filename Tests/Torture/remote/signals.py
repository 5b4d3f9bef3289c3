"""Kills and stops of single processes, on the clients' side and on the semaphore's."""

import contextlib
import os
import select
import signal
import time

import processes
from remote import plan
from remote.harm import NOTICED, Act

# What a signal does to the job whose process it hits. The others do nothing to it that it may not outlast: whoever
# holds can spare semq for a while, a guardian that stands still is set going by semq.
ACTS = {
    "SIGKILL semq waiting": Act.KILLED,
    "SIGKILL semq holding": Act.KILLED,
    "SIGKILL guardian": Act.UNGUARDED,
    "SIGKILL command": Act.KILLED,
    "SIGKILL link": Act.BROKEN,
    "SIGKILL agent holding": Act.ORPHANED,
    "SIGKILL agent waiting": Act.ORPHANED,
    "SIGKILL relay": Act.BROKEN,
    "SIGKILL semq and guardian": Act.KILLED,
    "SIGKILL whole tree": Act.KILLED,
    "SIGSTOP semq waiting": Act.APART,
    "SIGSTOP link": Act.BROKEN,
    "SIGSTOP agent holding": Act.APART,
    "SIGSTOP agent waiting": Act.APART,
    "SIGSTOP relay": Act.BROKEN,
    "SIGKILL both halves": Act.KILLED,
    **{kind: Act.TOLD for kind in plan.TOLD if kind.startswith("SIG")},
    plan.CTRL_Z: Act.APART,
    plan.RELEASED: Act.RELEASED,
}
# Another process of the job may be hit later, too.
AGAIN = ("link", "relay", "agent waiting")
SLOTS = (1 << 60) + (1 << 20)  # where semq locks them: two bytes each


class Signals:
    def __init__(self, round):
        self._round = round
        self._site = round.site
        self._standing = {}  # pids that stand still: (name, the harm that it is)

    def do(self, fault):
        if fault.kind in plan.HELD:
            self._round.arm(fault)
        else:
            self._hit_any(fault, time.monotonic() + 5)

    def _hit_any(self, fault, until):
        census = self._round.look()
        found = self._candidates("semq waiting" if fault.kind == plan.CTRL_Z else fault.kind.split(" ", 1)[1], census)
        # Whose it is has to be known.
        found = [(number, process) for number, process in found if number is not None and process]
        if found:
            number, process = found[int(fault.draw["target"] * len(found))]
            if self._signal(fault, process, number, census):
                return
        if time.monotonic() < until:
            self._round._after(0.05, lambda: self._hit_any(fault, until))

    def _candidates(self, what, census):
        """(job or None, process or None): what a fault that is not aimed at a holder may be done to."""
        bench, owners = self._site.bench, self._round.owners
        if what == "semq waiting":
            jobs = [each for each in self._round.running(self._site.desks) if each not in self._round.entered]
            return [(each, self._front(census, each)) for each in jobs if each not in self._round.touched]
        if what == "link":
            links = [each for desk in self._site.desks for each in census.on(desk.init) if each.is_link()]
            return [(owners.of_link(each), each) for each in links]
        members = self._round.members(census)
        if what == "relay":
            agents = [each for each in census.on(bench.init) if each.is_agent()]
            # An agent that is young may be about to join.
            return [(owners.of_agent(each), each) for each in agents if each not in members and each.age > 0.3]
        return [(owners.of_agent(each), each) for each in members if not self._slots(each)]

    def hit(self, fault, number, seat):
        """Done to one that holds. Returns whether it could be done."""
        if number in self._round.touched:
            return False
        census = self._round.look()
        words = self._round.entered[number]
        what = fault.kind.split(" ", 1)[1]
        worker, guardian, beater = (census.find(seat.init, int(words[index]) - seat.place) for index in (5, 6, 10))
        front = self._front(census, number)
        if fault.kind in plan.LOCAL_ONLY:
            victims = [front, guardian] + ([worker] if what == "whole tree" else [])
            return self._kill_several(fault, number, victims, beater if what == "whole tree" else None, census)
        if fault.kind == plan.BOTH_HALVES:
            return self._forsake(fault, number, [front, guardian], census)
        if fault.kind == plan.RELEASED:
            if not self._round.inside(number) or not self._site.bench.init:
                return False
            self._begun(fault, time.monotonic_ns(), f"ticket {words[3]}", number, census)
            self._round.evidence.ended.add(number)
            self._round.release(number)
            return True
        if what == "agent holding":
            process = self.holding_agent(census, number)
        else:
            process = {"semq holding": front, "guardian": guardian, "command": worker}[what]
        if process is None or what == "guardian" and process.name != "semq-guardian":
            return False
        if fault.kind == "SIGKILL command":
            self._end_beater(beater)
        if not self._signal(fault, process, number, census):
            return False
        if fault.kind == "SIGTERM semq holding":
            self._round.evidence.ended.add(number)
        if fault.kind in plan.TOLD:
            return True
        if what != "command" and fault.draw["instant"] <= 1:
            self._round.stay(number, fault.draw.get("seconds", 2.0) + 0.5)
        return True

    def holding_agent(self, census, number):
        """Its own, not that of the next one in its slot; None where that isn't known."""
        slot = int(self._round.entered[number][2])
        for each in census.on(self._site.bench.init):
            if each.is_agent() and slot in self._slots(each) and self._round.owners.of_agent(each) == number:
                return each
        return None

    def _slots(self, process):
        return {(start - SLOTS) // 2 for start in process.locks() if SLOTS <= start < SLOTS + 2048}

    def _front(self, census, number):
        seat = self._round.jobs[number][1]
        inner = seat.running.get(number)
        return inner and census.find(seat.init, inner)

    # Doing it

    def _signal(self, fault, process, number, census):
        if fault.kind == plan.CTRL_Z:
            return self._press(fault, process, number, census)
        kind = getattr(signal, fault.kind.split()[0])
        if process.pid in self._standing:
            return False
        moment = processes.send(process.pid, kind, process.name)
        if moment is None:
            return False
        what = f"process {process.pid} ({process.name} {process.inner})"
        harm = self._begun(fault, moment, what, number, census)
        if kind == signal.SIGSTOP:
            self._standing[process.pid] = (process.name, harm)
            self._round._after(fault.draw["seconds"], lambda: self._go_on(process.pid))
        elif ACTS[fault.kind] is Act.KILLED:
            self._killed(process, number, moment)
        return True

    def _begun(self, fault, moment, what, number, census):
        """Returns the harm that it is, if any, which lasts where somebody stands still."""
        self._round.done[fault.kind] += 1
        self._round._note(moment, f"{fault.kind}: {what} of job {number}")
        if not fault.kind.endswith(AGAIN):
            self._round.touched.add(number)
        act = ACTS.get(fault.kind)
        if act is None:
            return None
        stands = fault.kind.startswith("SIGSTOP")
        # While somebody on the way stands still, there is another way.
        end = moment if not stands else moment + NOTICED if act is Act.BROKEN else None
        joined = self._round.joined(census)
        return self._round.harms.to_job(number, act, f"{fault.kind}: {what}", moment, end, joined)

    def _killed(self, process, number, moment):
        """What the oracle must know."""
        seat = self._round.jobs[number][1]
        words = self._round.entered.get(number)
        if words and process.inner == int(words[5]) - seat.place:
            self._round.evidence.kills.setdefault(int(words[5]), moment)
        if process.inner == seat.running.get(number):
            self._round.evidence.unwatched.add(number)

    def _end_beater(self, beater):
        """Where the command is killed and the lock not lost, what it leaves behind is a daemon: none is wanted."""
        # It bears the worker's name until it has run for the first time.
        if beater is None or beater.name not in ("torture-beater", "worker"):
            return
        try:
            handle = os.pidfd_open(beater.pid)
        except ProcessLookupError:
            return
        if processes.send(beater.pid, signal.SIGKILL) is not None:
            select.select([handle], [], [], 1)
        os.close(handle)

    def _kill_several(self, fault, number, victims, beater, census):
        if None in victims or victims[1].name != "semq-guardian":
            return False
        self._end_beater(beater)
        order = sorted(range(len(victims)), key=lambda i: (fault.draw["order"] * 997 * (i + 1)) % 1)
        for index, turn in enumerate(order):
            if index and fault.draw["gap"]:
                time.sleep(fault.draw["gap"])
            moment = processes.send(victims[turn].pid, signal.SIGKILL, victims[turn].name)
            if moment is not None:
                self._killed(victims[turn], number, moment)
            elif index == 0:
                return False
        self._begun(fault, time.monotonic_ns(), "all of them", number, census)
        # On the queue's own host: nobody of ours is left, and such a child has no share in the lock.
        self._round.evidence.uncovered[number] = ("its lock closed, semq and guardian killed", {"closed"})
        return True

    def _forsake(self, fault, number, victims, census):
        """Both halves of a remote holder: nobody counts its lease, and it stays until the next is in."""
        moment = time.monotonic_ns()
        if not self._round.inside(number) or not self._kill_several(fault, number, victims, None, census):
            return False
        self._round.forsake(number, moment, plan.LEASE + 3)
        return True

    def _press(self, fault, process, number, census):
        """Ctrl-Z in the job's terminal, and `fg`."""
        if process.pid in self._standing:
            return False
        moment = time.monotonic_ns()
        try:
            os.killpg(process.pid, signal.SIGTSTP)
        except ProcessLookupError:
            return False
        what = f"group {process.pid} ({process.name} {process.inner})"
        harm = self._begun(fault, moment, what, number, census)
        self._standing[process.pid] = (process.name, harm)
        self._round._after(fault.draw["seconds"], lambda: self._go_on(process.pid))
        return True

    def _go_on(self, pid):
        name, harm = self._standing.pop(pid, (None, None))
        if name and processes.send(pid, signal.SIGCONT, name):
            self._round._note(time.monotonic_ns(), f"SIGCONT: process {pid} ({name})")
            if harm and harm.what.startswith(plan.CTRL_Z):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGCONT)
        if harm and harm.act is Act.APART:
            harm.end = time.monotonic_ns()

    def end(self):
        for pid in list(self._standing):
            self._go_on(pid)
