"""One round on one queue that clients on several hosts use: keeps jobs in flight, cuts, kills, stops."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections import Counter

import processes
from board import KINDS
from drive import Drive
from remote import plan
from remote.census import Census
from remote.harm import LOST, NOT_GRANTED, SURVIVED, UNREACHABLE, Act, Course, Harms
from remote.network import Network
from remote.owners import Owners
from remote.signals import Signals
from remote.signs import MOST_JOBS, Signs
from remote.site import SEMAPHORES, USER
from remote.stalls import Stalls
from plan import GRACE
from semq import Semq, Unlocked

AIM = 3  # seconds
RECENT = 300_000_000  # ns: processes give a sign of life each millisecond, if the machine lets them
# What only a fault of the program itself is ended by.
CRASHES = {signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV, signal.SIGSYS}
SAID_LOST = "the lock is lost"
SAID = {"noticed": "the connection is lost", "resumed": "connected again after", "requeued": "queues again"}


class Round(Drive):
    def __init__(
        self, folder, site, worker, seed, concurrency, seconds, locked=True, without=(), strays=False, can_end=True,
    ):
        super().__init__(folder, plan, seed, concurrency, seconds, locked, without)
        self.site, self.worker = site, worker
        self.strays = strays
        self.can_end = can_end  # semq knows --grace
        self.signs = Signs(os.path.join(folder, "signs"))
        self.said = os.path.join(folder, "said")
        os.mkdir(self.said)
        # Users of other hosts write here.
        for path, mode in ((folder, 0o777), (self.said, 0o777), (self.log_path, 0o666), (self.counters, 0o666)):
            os.chmod(path, mode)

        self.queue = f"concurrency-{concurrency}{'-strays' * strays}.queue"
        self.path = f"/home/{USER}/{self.queue}"
        kind = Semq if locked else Unlocked
        self.here = kind("semq", self.path)
        self.there = kind("semq", f"{USER}@{SEMAPHORES}:{self.queue}")
        self.jobs = {}  # number: (Job, Seat, options)
        self.ends = {}  # number: (exit code, ns) of jobs that have ended
        self.harms = Harms()
        self.owners = Owners(site)
        self.stalls = Stalls()
        self.stalled = 0  # ns
        self.told = Counter()  # by what the clients have said, see SAID
        self.left_over = 0  # processes, at the end
        self.network, self.signals = Network(self), Signals(self)

    # Running

    def _begin(self):
        if self.locked:
            words = self.here.set("--concurrency", str(self.concurrency))
            self.site.run(self.site.bench, *words, check=True, stderr=subprocess.DEVNULL)

    def _faults(self):
        faults = super()._faults()
        if self.strays:
            faults = [fault for fault in faults if fault.kind == "packets dropped"]
            for fault in faults:
                fault.draw.update(aimed=1, instant=0.5, seconds=8, direction="both")
        return faults

    def _fill(self):
        now = time.monotonic_ns()
        for seat in self.site.seats:
            if seat.init and now >= seat.resting_until and len(self.running([seat])) < seat.room:
                self._spawn(seat)

    def _spawn(self, seat):
        job = self._draw_job()
        for kind in job.kinds():
            self.done[kind] += 1
        command = job.command(self.worker, self.folder, f"place={seat.place}")
        if job.family:
            self.evidence.family.add(job.number)
        if not self.locked:
            command = ["env", *(f"{name}={value}" for name, value in self._unlocked(job).items()), *command]
        semq, options = self.here, job.options
        if not seat.is_local:
            semq = self.there
            options += plan.draw_remote_options(self.seed, self.concurrency, job.number)
        if job.family and self.locked and self.can_end:
            options += ("--grace", str(GRACE))
        self.jobs[job.number] = (job, seat, options)
        self.evidence.spawned[job.number] = time.monotonic_ns()
        seat.start(job.number, os.path.join(self.said, str(job.number)), semq.acquire(options, command))

    def _wait(self, seconds):
        sources = [self.site.lab.descriptor, *(seat.descriptor for seat in self.site.seats if seat.init)]
        self.ready = select.select(sources, [], [], seconds)[0]

    def _collect(self):
        for start, end in self.stalls.take():
            self.stalled += end - start
            self._note(start, f"the machine let nobody run for {(end - start) / 1e9:.3f} s")
            names = [seat.name for seat in self.site.desks]
            self.harms.to_hosts(names, Act.APART, "the machine let nobody run", start, end)
        if self.site.lab.descriptor in self.ready:
            self.site.lab.receive()
        for seat in self.site.seats:
            if seat.descriptor in self.ready:
                for job, status in seat.receive():
                    self._ended(job, seat, os.waitstatus_to_exitcode(status))

    def _ended(self, number, seat, code):
        if number not in self.jobs:
            return  # a stray
        self.exits[code] += 1
        self.ends[number] = (code, time.monotonic_ns())
        said = self._read_said(number)
        if code:
            self._note(time.monotonic_ns(), f"job {number} on {seat.name} ended with {code}")
        if code == LOST:
            self.evidence.lost.add(number)
        if code == UNREACHABLE:
            seat.resting_until = time.monotonic_ns() + 300_000_000
        if -code in CRASHES or "Fatal error" in said:
            self.problems.append(f"job {number} crashed with {code}: {said}")

    def _has_said(self, number):
        try:
            with open(os.path.join(self.said, str(number))) as file:
                return file.read()
        except OSError:
            return ""

    def _read_said(self, number):
        """Once a job has ended."""
        said = self._has_said(number)
        if not said:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.said, str(number)))
        for what, phrase in SAID.items():
            self.told[what] += said.count(phrase)
        return said

    # Who is where

    def look(self):
        """At all processes, remembering whose connections they are."""
        census = Census()
        self.owners.learn(census)
        return census

    def members(self, census):
        """The agents that are in the queue."""
        return [
            each for each in census.on(self.site.bench.init) if each.is_agent() and each.has_open(self.queue)]

    def joined(self, census):
        """The jobs that have one."""
        return frozenset(map(self.owners.of_agent, self.members(census))) - {None}

    def running(self, seats):
        return [number for seat in seats for number in seat.running if number in self.jobs]

    def inside(self, number):
        return number in self.entered and number not in self.left

    def stay(self, number, seconds):
        """The command stays inside that much longer, unless it is ended."""
        self.signs.stay(number, time.monotonic_ns() + int(seconds * 1e9))

    def forsake(self, number, moment, seconds):
        """What the documents exclude: the oracle counts who is in beside it, and it changes nothing itself."""
        self.signs.forsake(number)
        self.stay(number, seconds)
        self.evidence.forsaken[number] = moment
        why = "semq and guardian of a remote holder both killed"
        self.evidence.uncovered[number] = (why, set(KINDS))

    def release(self, number):
        """Somebody on the semaphore's host ends the turn."""
        words = self.here.release(self.entered[number][3], GRACE)
        file = os.path.join(self.said, "released")
        self.site.bench.start(number + MOST_JOBS // 4, file, words)

    def killed_on(self, seat, moment):
        """All processes of a host are about to be killed, or have been since that moment."""
        self._read_log()
        for number in seat.stand_up():
            self.touched.add(number)
        for number, (_, place, _) in self.jobs.items():
            if place is not seat or not self.inside(number):
                continue
            # Its semq can't end with LOST any more.
            if SAID_LOST in self._has_said(number):
                self.evidence.lost.add(number)
            # A command that was ended long ago, without a word in the log, isn't killed once more.
            if self.signs.last(number) > moment - RECENT:
                self.touched.add(number)
                self.evidence.kills.setdefault(int(self.entered[number][5]), moment)

    # Faults

    def _do(self, fault):
        if fault.kind in plan.CUTS:
            self.network.do(fault)
        else:
            self.signals.do(fault)

    def arm(self, fault):
        """Waits for a command to begin that it may be done to; a cut that finds none soon hits somebody else."""
        self.armed.append(fault)

        def loose():
            if fault in self.armed:
                self.armed.remove(fault)
                fault.draw["aimed"] = 0
                self.network.do(fault)

        if fault.kind in plan.CUTS:
            self._after(AIM, loose)

    def _entered(self, number, words):
        job, seat, _ = self.jobs[number]
        if self.strays and job.victim and not seat.is_local:
            self._start_stray(number, seat)
        if not job.victim or number in self.touched or self.ending or seat.init is None:
            return
        # Cuts don't wait for long.
        for fault in sorted(self.armed, key=lambda fault: fault.kind not in plan.CUTS):
            if seat.is_local != (fault.kind in plan.LOCAL_ONLY) or (fault.kind in plan.CUTS and seat.is_cut):
                continue
            self.armed.remove(fault)
            inside = fault.draw["instant"] * job.section / 1e6
            if fault.draw["instant"] <= 1 and "late" in fault.draw:
                inside += fault.draw["late"]
                self.stay(number, inside + 0.2)
            self._at(int(words[7]) + int(inside * 1e9), lambda: self._hit(fault, number))
            return

    def _hit(self, fault, number):
        """Does what was armed to a holder, or arms it again where it has left too early."""
        seat = self.jobs[number][1]
        hits = self.network.hit if fault.kind in plan.CUTS else self.signals.hit
        if fault.draw["instant"] <= 1 and not self.inside(number) or not seat.init or not hits(fault, number, seat):
            self.arm(fault)

    def _start_stray(self, number, seat):
        """Something of a holder's that nobody who ends its tree can find: the oracle must."""
        words = [self.worker, self.folder, str(number)]
        seat.start(number + MOST_JOBS // 2, os.path.join(self.said, "strays"), words)

    # The end

    def _judge(self):
        self.stalls.end()
        self.impostor = self.site.impostor_said()
        self.problems += [f"an impostor was told: {text}" for text in self.impostor["H"]]
        if self.strays:
            # Of the self-test: as if all cuts had been such as a lease survives.
            self.harms.shorten(int(0.9 * SURVIVED))
        now = time.monotonic_ns()
        for number in self.evidence.lost | self.evidence.unwatched:
            if self.jobs[number][0].family == "child of another user" and not self.jobs[number][1].is_local:
                # Its lease can't last until another user's process ends.
                self.evidence.uncovered.setdefault(number, ("another user's process, after its lease", {"root"}))
        courses = {number: self._course(number, now) for number in self.jobs}
        self.evidence.stopped = {number: self.harms.aside(course) for number, course in courses.items()}
        super()._judge()
        if self.locked:
            for number, (code, _) in self.ends.items():
                if code not in self.harms.ends(courses[number]):
                    self._odd(courses[number], code, f"ended with {code}")
            for number in self.findings.unseen:
                if not self.harms.may_lose(courses[number]):
                    self._odd(courses[number], LOST, "lost its lock, as it seems")
        return self

    def _course(self, number, now):
        job, seat, options = self.jobs[number]
        _, ended = self.ends.get(number, (None, now))
        words = self.entered.get(number)
        entered = words and int(words[7])
        return Course(number, options, seat.name, seat.is_local, self.evidence.spawned[number], ended, entered,
                      frozenset({124} if job.family == "timeout inside" else ()))

    def _odd(self, course, code, what):
        text = f"job {course.number} on {course.host} [{course.spawned / 1e9:.6f} … {course.ended / 1e9:.6f}] {what}"
        text += f", in at {course.entered / 1e9:.6f}" if course.entered else ", never in"
        text += f": {' '.join(course.options)}; done to it:"
        text += "".join(f"\n      {harm}" for harm in self.harms.of(course)) or " nothing"
        said = "".join(f"\n      said: {line}" for line in self._has_said(course.number).splitlines())
        self.odd_exits.append((course.ended, code, text + said))

    def _drain(self):
        self.signals.end()
        self.network.end()
        end = time.monotonic() + 60
        while self.running(self.site.seats) and time.monotonic() < end:
            self._step()
        stuck = self.running(self.site.seats)
        if stuck and self.locked:
            cases = [f"job {number} on {self.jobs[number][1].name}: {self._read_said(number)}" for number in stuck]
            about = "".join(f"\n      {case}" for case in cases)
            self.problems.append(f"the queue does not run empty: {len(stuck)} jobs are left after 60 s:{about}")
        self._await_silence()
        self._read_signs()
        self._read_history()

    def _await_silence(self):
        """Leases that nobody renews end, and with them all processes."""
        began = time.monotonic()
        while (found := self._strangers()) and time.monotonic() - began < self._patience(found):
            time.sleep(0.1)
            self.ready = []
            self._wait(0.1)
            self._collect()
            self._read_log()
        self.settled = time.monotonic() - began
        if found and self.locked and not self.strays:
            self.left_over = len(found)
            about = "".join(f"\n      on {name}: {processes.describe(each.pid)}" for name, each in found)
            self.problems.append(f"{len(found)} processes are left {self.settled:.0f} s after the last job:{about}")
        for _, each in found:
            processes.send(each.pid, signal.SIGKILL)

    @staticmethod
    def _patience(found):
        """An agent whose client fell silent with nothing under way waits for a request for a while."""
        rest = plan.AGENT_RESTS if all(each.is_agent() for _, each in found) else 0
        return 3 * plan.LEASE + rest

    def _strangers(self):
        """Processes on the hosts that are no seat. sshd ends its sessions when it likes: what it has started counts."""
        census = Census()
        own = ("seat", "sshd", "impostor")
        return [(seat.name, each) for seat in self.site.seats for each in census.on(seat.init) if each.name not in own]

    def _read_signs(self):
        for number in self.entered:
            self.evidence.signs[number] = self.signs.last(number)

    def _read_history(self):
        """Who was lost without a word: only to tell the kinds of margins apart."""
        for path in (f"{self.path}.history.1", f"{self.path}.history"):
            try:
                with open(self.site.bench.root + path) as file:
                    events = [json.loads(line) for line in file]
            except OSError:
                continue
            self.evidence.expired.update(event["ticket"] for event in events if event["event"] == "lost")

    def _state(self):
        """Of the queue, as semq tells it; None where it can't be read."""
        text = self.site.run(self.site.bench, *self.here.status(), capture_output=True).stdout
        try:
            state = json.loads(text)
            return state[0] if isinstance(state, list) else state
        except ValueError:
            self.problems.append(f"status can't be read: {text}")
            return None

    def _await_leases(self):
        """Slots of the last ones that died without a word are kept as long as their leases, from a look at them on."""
        end = time.monotonic() + plan.LEASE + 1
        while (state := self._state()) and state["holders"] and time.monotonic() < end:
            self.site.run(self.site.bench, *self.here.acquire(("-n", "-q"), ("true",)))
            time.sleep(0.2)
        return state

    def leaked(self):
        """After the leases, all slots can be had at once, one more can't, and no lock is left."""
        found = []
        listed = processes.locks(self.site.bench.root + self.path)
        if listed:
            found.append("locks are left when all have ended:" + "".join(f"\n      {line}" for line in listed))
        bench, desk = self.site.bench, self.site.desks[0]
        state = self._await_leases()
        odd = state and (state["holders"] or state["waiting"] or state["paused"])
        if odd or state and state["concurrency"] != self.concurrency:
            found.append(f"status is not that of an empty queue: {state}")
        ways = [(desk, self.there, ("--lease", str(plan.LEASE))), (bench, self.here, ())]
        holders = []
        for number in range(self.concurrency):
            seat, semq, options = ways[number % 2]
            words = semq.acquire(("-n", "-q", *options), ("sh", "-c", "echo $SEMQ_SLOT; read end"))
            words = [*seat.words, *words]
            holders.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        slots = sorted(holder.stdout.readline().strip() for holder in holders)
        if slots != [str(slot) for slot in range(self.concurrency)]:
            found.append(f"of {self.concurrency} slots these could be had at once: {slots}")
        for seat, semq, options in ways:
            more = self.site.run(seat, *semq.acquire(("-n", "-q", *options), ("true",)))
            if more.returncode != NOT_GRANTED:
                text = f"one more than {self.concurrency}, from {seat.name}"
                found.append(f"{text}, ended with {more.returncode}, not {NOT_GRANTED}")
        for holder in holders:
            holder.communicate("\n")
        return found
