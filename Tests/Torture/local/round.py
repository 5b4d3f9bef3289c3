"""One round on one queue of this machine: keeps jobs in flight, does what the plan says to them and to the file."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections import deque

import processes
from drive import Drive
from local import damage, plan
from plan import GRACE, USER

UNUSABLE = 65  # semq's exit code where it can't tell that the file is a queue


class Round(Drive):
    def __init__(
        self, folder, semq, worker, seed, concurrency, seconds, mark, locked=True, without=(), can_end=True, hurry=1,
        plain=False,
    ):
        super().__init__(folder, plan, seed, concurrency, seconds, locked, without)
        self.semq, self.worker = semq, worker
        self.can_end = can_end  # semq knows --grace
        self.plain = plain  # commands leave nothing in their sessions
        self.hurry = hurry
        self.environment = {**os.environ, processes.MARK: mark}
        self.mark = mark

        self.jobs = {}  # job number: (Job, pid of its front)
        self.fronts = {}  # pid: job number, while it runs
        self.orphaned = set()  # jobs of which a process was killed
        self.ended = {}  # job: when its semq had ended, s
        self.told = set()  # jobs of whose daemon a problem was told
        self.standing = set()  # pids that were stopped by the plan
        self.seen_stopped = set()
        self.foreign = False  # nothing in the file was a queue's any more, and nobody used it
        self.emptied = 0  # how often that was so
        self.swept = []  # texts: a semq that stood still and nobody had stopped it, or no longer

        self.is_root = os.geteuid() == 0
        self.copies = 0
        self.copying = {}  # pid of who makes one ready: its path
        self.copy = None  # path of the newest copy of the queue's file
        self.stopping = {}  # job: the fault whose trap was set for it, and when

        self.admin = deque()  # changes to make, one after the other
        self.changing = None  # (pid, change, since)
        self.limit = concurrency
        self.paused = None  # since when, the last time

    # Running

    def _begin(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        if self.locked:
            subprocess.run(self.semq.set("--concurrency", str(self.concurrency)), check=True, stderr=subprocess.DEVNULL)
            self._copy()
        if self.is_root:
            # Other users come here, too.
            os.chmod(self.folder, 0o777)
            for name in os.listdir(self.folder):
                os.chmod(os.path.join(self.folder, name), 0o666)
        now = time.monotonic_ns()
        self._at(now, self._sweep)
        self._at(now, self._look_at_daemons)

    def _fill(self):
        for _ in range(min(6, plan.FLIGHT - len(self.fronts))):
            self._spawn()

    def _wait(self, seconds):
        signal.sigtimedwait({signal.SIGCHLD}, seconds)

    def _step(self):
        super()._step()
        self._administer()

    # Jobs

    def _spawn(self):
        job = self._draw_job()
        if self.plain or job.family == "child of another user" and not self.is_root:
            job.family, job.children = "", ()
        job.copied = job.copied and not self.plain and (self.copy is not None or not self.locked)
        for kind in job.kinds():
            self.done[kind] += 1
        if job.family:
            self.evidence.family.add(job.number)
        command = job.command(self.worker, self.folder)
        options = job.options
        if job.family and self.can_end:
            options += ("--grace", str(GRACE))
        environment = self.environment if self.locked else {**self.environment, **self._unlocked(job)}
        self.evidence.spawned[job.number] = time.monotonic_ns()
        words = self.semq.acquire(options, command)
        if job.copied:
            words = self.semq.acquire_with(self.copy, options, command)
        if job.family == "child of another user" and self.locked:
            words = [self.worker, "as", str(USER), *words]
        pid = self._start(words, environment)
        self.jobs[job.number] = (job, pid)
        self.fronts[pid] = job.number

    def _start(self, words, environment=None):
        messages = os.path.join(self.folder, "messages")
        write = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        return os.posix_spawnp(
            words[0], words, environment or self.environment, setpgroup=0, setsigmask=(), setsigdef=(signal.SIGPIPE,),
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, messages, write, 0o600),
                (os.POSIX_SPAWN_OPEN, 2, messages, write, 0o600),
            ))

    def _collect(self):
        for pid, status in processes.reap():
            if self.changing and pid == self.changing[0]:
                self._changed(status)
            copy = self.copying.pop(pid, None)
            if copy and status == 0:
                self.copy = copy
            number = self.fronts.pop(pid, None)
            if number is None:
                continue
            self.ended[number] = time.monotonic()
            code = os.waitstatus_to_exitcode(status)
            self.exits[code] += 1
            options = self.jobs[number][0].options
            expected = {0, 75} if "-w" in options or "-n" in options else {0}
            if self.jobs[number][0].family == "timeout inside":
                expected.add(124)
            if self.foreign or self.jobs[number][0].copied:
                expected.add(UNUSABLE)
            if number not in self.touched and code not in expected and self.locked:
                self.odd_exits.append((time.monotonic(), code, f"job {number} ended with {code}: {' '.join(options)}"))

    def _entered(self, number, words):
        job = self.jobs[number][0]
        if self.armed and job.victim and number not in self.touched:
            # With semq and guardian dead a daemon rightly keeps the lock of its command: not those two then.
            daemon = job.daemon or job.family == "child behind a daemon"
            fault = next((each for each in self.armed if not (daemon and each.kind in plan.SEVERAL)), None)
            if fault is None:
                return
            self.armed.remove(fault)
            self._at(int(words[7]) + int(fault.draw["instant"] * job.section * 1000),
                     lambda fault=fault, number=number: self._hit_holder(fault, number))

    # Faults

    def _do(self, fault):
        if fault.kind in plan.SIGNALLED:
            if fault.kind.endswith("semq waiting"):
                self._hit_waiter(fault)
            elif fault.kind == plan.BEFORE_START:
                self._hit_prepared(fault)
            elif fault.draw["early"] < 0.3 and fault.kind.endswith(("guardian", "command")) and " and " not in fault.kind:
                self._hit_prepared(fault)
            else:
                self.armed.append(fault)
        elif fault.kind in plan.GROUPED:
            self.armed.append(fault)
        elif fault.kind in plan.DAMAGED:
            self._damage(fault)
        elif fault.kind == plan.COPIED:
            self._copy()
            self.done[fault.kind] += 1
        elif fault.kind == "paused":
            self.admin.append(("--pause", "torture"))
            self._after(fault.draw["seconds"], lambda: self.admin.append(("--resume",)))
            self.done[fault.kind] += 1
        else:
            self.admin.append(("--concurrency", str(fault.draw["to"])))
            self._after(fault.draw["seconds"], self._set_base)
            self.done[fault.kind] += 1

    def _set_base(self):
        self.admin.append(("--concurrency", str(self.concurrency)))

    def _waiting(self):
        return [number for number in self.fronts.values() if number not in self.entered and number not in self.touched]

    def _hit_waiter(self, fault):
        waiting = self._waiting()
        if not waiting:
            self._after(0.005, lambda: self._hit_waiter(fault))
            return
        number = waiting[int(fault.draw["waiter"] * len(waiting))]
        if not self._signal(fault, number, self.jobs[number][1]):
            self._after(0.001, lambda: self._hit_waiter(fault))

    def _hit_prepared(self, fault):
        """Guardian or command-to-be of whoever is next, forked and not started."""
        wanted = fault.kind.split()[-1]
        for number in self._waiting()[:3]:
            guardians = [pid for pid, name in processes.children(self.jobs[number][1]) if name == "semq-guardian"]
            if not guardians:
                continue
            if wanted == "guardian":
                targets = guardians
            else:
                targets = [pid for pid, _ in processes.children(guardians[0])]
                # The guardian learns of it late, when another may have been started in its place.
                if targets and fault.kind == plan.BEFORE_START and processes.send(guardians[0], signal.SIGSTOP):
                    self.touched.add(number)
                    self.standing.add(guardians[0])
                    moment = time.monotonic_ns()
                    self._after(0.005 + 0.025 * fault.draw["early"], lambda pid=guardians[0]: self._go_on(number, pid, moment))
            if targets and self._signal(fault, number, targets[0]):
                return
        if fault.kind == plan.BEFORE_START:
            self._after(0.01, lambda: self._hit_prepared(fault))
        else:
            self.armed.append(fault)

    def _hit_holder(self, fault, number):
        if fault.kind in plan.GROUPED:
            self._hit_group(fault, number)
            return
        words = self.entered[number]
        front, worker, parent = self.jobs[number][1], int(words[5]), int(words[6])
        if fault.kind in plan.SEVERAL:
            victims = [(front, None), (parent, "semq-guardian")]
            if fault.kind.endswith("tree"):
                victims.append((worker, "worker"))
            for index, turn in enumerate(sorted(range(len(victims)), key=lambda i: (fault.draw["order"] * 997 * (i + 1)) % 1)):
                pid, name = victims[turn]
                if index and fault.draw["gap"]:
                    time.sleep(fault.draw["gap"])
                moment = processes.send(pid, signal.SIGKILL, name)
                if moment is None:
                    if index == 0:
                        self.armed.append(fault)
                        return
                    continue  # the first one's end was the end of this one too
                self._note(moment, f"{fault.kind}: process {pid} of job {number}")
                if pid == worker:
                    self.evidence.kills.setdefault(pid, moment)
            self.touched.add(number)
            self.done[fault.kind] += 1
            # Nobody of ours is left, and it has no share in the lock.
            self.evidence.uncovered[number] = ("its lock closed, semq and guardian killed", {"closed"})
            return
        target = {"holding": (front, None), "guardian": (parent, "semq-guardian"), "command": (worker, "worker")}
        if not self._signal(fault, number, *target[fault.kind.split()[-1]]):
            self.armed.append(fault)
        elif fault.kind == "SIGTERM semq holding":
            self.evidence.ended.add(number)

    def _hit_group(self, fault, number):
        """What needs more than one signal to one process."""
        words = self.entered[number]
        if fault.kind == plan.RELEASED:
            if number in self.left:
                self.armed.append(fault)
                return
            self.touched.add(number)
            self.evidence.ended.add(number)
            self._note(time.monotonic_ns(), f"{fault.kind}: job {number}, ticket {words[3]}")
            self._start(self.semq.release(words[3], GRACE if self.can_end else 0))
            self.done[fault.kind] += 1
            return
        if fault.kind == plan.AT_WORK:
            front = self.jobs[number][1]
            about = processes.stat(front)
            if front in self.standing or about is None or about[0] in "ZX" or number in self.left:
                self.armed.append(fault)
                return
            self._stopped(fault, number, time.monotonic_ns())
            os.killpg(front, signal.SIGTSTP)
            return
        # Whoever is next when this one goes.
        waiting = [each for each in self._waiting() if self.jobs[each][1] not in self.standing]
        if not waiting:
            self.armed.append(fault)
            return
        next_one = waiting[int(fault.draw["waiter"] * len(waiting))]
        self.touched.add(next_one)
        self.stopping[next_one] = (fault, time.monotonic_ns())
        self._start([
            self.worker, "trap", self.folder, str(next_one), words[5], str(int(fault.draw["after"] * 1000)),
            str(self.jobs[next_one][1])])

    def _sprung(self, number, moment):
        fault, since = self.stopping.pop(number)
        if moment:
            self._stopped(fault, number, since)
        elif not self.ending:
            self.armed.append(fault)

    def _stopped(self, fault, number, moment):
        front = self.jobs[number][1]
        self.touched.add(number)
        self.done[fault.kind] += 1
        self._note(moment, f"{fault.kind}: group {front} of job {number}")
        self.standing.add(front)
        self.evidence.stopped.setdefault(number, []).append((moment, None))
        self._after(fault.draw["seconds"], lambda: self._go_on(number, front, moment, group=True))

    def _signal(self, fault, number, pid, name=None):
        kind = getattr(signal, fault.kind.split()[0])
        if pid in self.standing:
            return False
        moment = processes.send(pid, kind, name)
        if moment is None:
            return False
        self.touched.add(number)
        self.done[fault.kind] += 1
        self._note(moment, f"{fault.kind}: process {pid} of job {number}")
        if kind == signal.SIGKILL:
            self.orphaned.add(number)
            self.evidence.kills.setdefault(pid, moment)
        if kind == signal.SIGSTOP:
            self.standing.add(pid)
            self._after(fault.draw["seconds"], lambda: self._go_on(number, pid, moment))
            self.evidence.stopped.setdefault(number, []).append((moment, None))
        return True

    def _go_on(self, number, pid, since, group=False):
        self.standing.discard(pid)
        front = self.jobs[number][1]
        if number in self.orphaned and pid != front:
            # semq stopped together with its command, and the guardian that would set it going is dead.
            processes.send(front, signal.SIGCONT)
        self._note(time.monotonic_ns(), f"SIGCONT: process {pid} of job {number}")
        processes.send(pid, signal.SIGCONT)
        if group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGCONT)
        stops = self.evidence.stopped.get(number, [])
        self.evidence.stopped[number] = [(start, end or time.monotonic_ns()) for start, end in stops]
        self.evidence.disturbed.append((since, time.monotonic_ns()))

    def _sweep(self):
        """Whatever stands still for half a second though the plan does not want it to, goes on."""
        stopped = set()
        for pid in self.fronts:
            about = processes.stat(pid)
            if about and about[0] == "T" and pid not in self.standing:
                stopped.add(pid)
        for pid in stopped & self.seen_stopped:
            moment = processes.send(pid, signal.SIGCONT)
            if moment:
                self.swept.append(f"at {moment / 1e9:.6f}: process {pid} of job {self.fronts[pid]}")
        self.seen_stopped = stopped
        if not self.ending:
            self._after(0.5, self._sweep)

    def _look_at_daemons(self):
        """Whoever inherited a command's descriptors must hold nothing once that has ended."""
        for pid in processes.named("torture-daemon"):
            words = processes.arguments(pid)
            if len(words) != 5 or words[1] != self.folder or int(words[2]) in self.told:
                continue
            number = int(words[2])
            about = self.entered.get(number)
            if about is None or self.ended.get(number, time.monotonic()) > time.monotonic() - 0.3:
                continue
            # Where semq was killed, its guardian and the command may be at it still.
            if any(processes.lives(int(other)) for other in about[5:7]):
                continue
            held = processes.locks_of(pid)
            if held:
                self.told.add(number)
                text = "".join(f"\n      {line}" for line in held)
                self.problems.append(f"the daemon that job {number} left behind holds its lock, at {time.monotonic():.6f}:{text}")
        if not self.ending:
            self._after(0.7, self._look_at_daemons)

    def _copy(self):
        """Another queue from then on, whatever stands in it."""
        self.copies += 1
        copy = os.path.join(self.folder, f"copy.{self.copies}.queue")
        shutil.copy(self.semq.queue, copy)
        os.chmod(copy, 0o666)
        # What the file says of a pause was copied, too.
        self.copying[self._start(self.semq.set("--resume", queue=copy))] = copy
        self._note(time.monotonic_ns(), f"{plan.COPIED}: {self.copies}")

    def _damage(self, fault):
        moment = time.monotonic_ns()
        header = damage.damage(self.semq.queue, fault.kind.removeprefix("file "), fault.draw["bytes"])
        if fault.kind == "file emptied" and self.evidence.headers_lost and moment - self.evidence.headers_lost[-1] < 1e9:
            # Without a header, and with garbage in it by now, it may have been unusable since; empty it is a new one.
            self._excuse_unusable(moment)
        self.done[fault.kind] += 1
        self._note(moment, f"{fault.kind}{', header' if header else ''}")
        if header:
            self.evidence.headers_lost.append(moment)
            self._after(fault.draw["mend"], self._set_base)
            self._after(fault.draw["mend"] + 0.05, lambda: self.evidence.disturbed.append((moment, time.monotonic_ns())))

    # Changes of the queue, one at a time: the oracle must know what is allowed when

    def _administer(self):
        if self.changing or not self.admin:
            return
        change = self.admin.popleft()
        moment = time.monotonic_ns()
        if change[0] == "--concurrency":
            self.limit = max(self.limit, int(change[1]))
            self.evidence.limits.append((moment, self.limit))
        self.changing = (self._start(self.semq.set(*change)), change, moment)

    def _changed(self, status):
        _, change, since = self.changing
        self.changing = None
        moment = time.monotonic_ns()
        code = os.waitstatus_to_exitcode(status)
        self.exits[f"set: {code}"] += code != 0
        self._note(since, f"set {' '.join(change)}, done {(moment - since) / 1e9:.6f} s later: {code}")
        if code == UNUSABLE:
            # Damaged beyond recognition while nobody stood in the queue: semq refuses to overwrite it. Made empty, it
            # is a new one.
            self._excuse_unusable(since)
            self.foreign = True
            self.emptied += 1
            os.truncate(self.semq.queue, 0)
            self.evidence.headers_lost.append(moment)
        elif code == 0 and self.foreign:
            self._after(0.2, self._is_queue_again)
        if change[0] == "--concurrency" and code == 0:
            self.limit = int(change[1])
            self.evidence.limits.append((moment, self.limit))
        if change[0] == "--pause":
            self.paused = since
        if change[0] == "--resume":
            since = self.paused or since
        self.evidence.disturbed.append((since, moment))
        if code != 0 and change[0] in ("--resume", "--concurrency"):
            self.admin.append(change)

    def _excuse_unusable(self, moment):
        """Up to then the file was one that semq refuses to overwrite."""
        self.odd_exits = [odd for odd in self.odd_exits if odd[1] != UNUSABLE or odd[0] < moment / 1e9 - 1]

    def _is_queue_again(self):
        self.foreign = False

    # The end

    def _drain(self):
        for pid in list(self.standing):
            processes.send(pid, signal.SIGCONT)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGCONT)
        self.standing.clear()
        if self.locked:
            self.admin.append(("--resume",))
            self._set_base()
        end = time.monotonic() + 30
        next_look = time.monotonic() + 0.5
        while self._working() and time.monotonic() < end:
            for _ in range(20):
                self._step()
                if not self.fronts:
                    break
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + 0.5
                self._sweep()
        stuck = self._working()
        if stuck:
            about = "".join(f"\n      {processes.describe(pid)}" for pid in stuck)
            locks = "".join(f"\n      {line}" for line in processes.locks(self.semq.queue)) if self.locked else ""
            self.problems.append(f"the queue does not run empty: {len(stuck)} are left after 30 s:{about}{locks}")
            processes.end_all(self.mark)
        self._collect()

    def _working(self):
        found = [pid for pid, _, _ in processes.marked(self.mark)]
        return found or ([self.changing[0]] if self.changing else [])

    def leaked(self):
        """When all is dead, all slots can be had at once, one more can't, and no lock is left."""
        found = []
        listed = processes.locks(self.semq.queue)
        if listed:
            found.append("locks are left when all have ended:" + "".join(f"\n      {line}" for line in listed))
        state = subprocess.run(self.semq.status(), capture_output=True, text=True)
        try:
            state = json.loads(state.stdout)
            state = state[0] if isinstance(state, list) else state
            if state["holders"] or state["waiting"] or state["concurrency"] != self.concurrency or state["paused"]:
                found.append(f"status is not that of an empty queue: {state}")
        except ValueError:
            found.append(f"status can't be read: {state.stdout}{state.stderr}")
        hold = self.semq.acquire(("-n", "-q"), ("sh", "-c", "echo $SEMQ_SLOT; read end"))
        holders = [
            subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment)
            for _ in range(self.concurrency)
        ]
        slots = sorted(holder.stdout.readline().strip() for holder in holders)
        if slots != [str(slot) for slot in range(self.concurrency)]:
            found.append(f"of {self.concurrency} slots these could be had at once: {slots}")
        more = subprocess.run(self.semq.acquire(("-n", "-q"), ("true",)), env=self.environment)
        if more.returncode != 75:
            found.append(f"one more than {self.concurrency} ended with {more.returncode}, not 75")
        for holder in holders:
            holder.communicate("\n")
        return found
