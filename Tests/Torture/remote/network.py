"""Faults of the network and of whole hosts."""

import signal
import time

import processes
from remote import plan
from remote.harm import Act
from remote.site import SEMAPHORES


class Network:
    def __init__(self, round):
        self._round = round
        self._site = round.site
        self._sshd_runs = True
        self._shut = None  # the harm that it is that sshd doesn't
        self._cuts, self._off = {}, {}  # seat: the harm that it is

    def do(self, fault):
        if fault.kind in plan.AIMABLE and fault.draw["aimed"]:
            self._round.arm(fault)
        elif fault.kind == "semaphore's host cut off":
            self._cut(fault, self._site.bench)
        elif fault.kind == "semaphore's host rebooted":
            self._power(fault, self._site.bench)
        elif fault.kind == "sshd stopped":
            self._stop_sshd(fault)
        else:
            # Those that nothing is done to already.
            desks = [desk for desk in self._site.desks if desk.init and not desk.is_cut]
            if not desks or not self.hit(fault, None, desks[int(fault.draw["target"] * len(desks))]):
                self._round._after(0.2, lambda: self.do(fault))

    def hit(self, fault, number, desk):
        """`number`: the job there that holds, if it is done to that.

        Returns whether it could be done.
        """
        if not self._site.bench.init:
            return False
        if fault.kind == "client host off and on":
            self._power(fault, desk)
        elif fault.kind == "session killed":
            return self._kill_session(fault, number)
        elif fault.kind == "connections reset":
            self._reset(desk, self._begun(fault, [desk]))
            self._stay(fault, number, 1.5)
        elif desk.is_cut:
            return False
        else:
            self._cut(fault, desk)
            self._stay(fault, number, fault.draw["seconds"] + 1.5)
        return True

    def _stay(self, fault, number, seconds):
        """A holder stays until it has found out; not one that was just about to leave."""
        if number is not None and fault.draw["instant"] <= 1:
            self._round.stay(number, seconds)

    def _begun(self, fault, seats, joined=None):
        """Returns the moment, and the jobs that had an agent in the queue then."""
        if joined is None:
            joined = self._round.joined(self._round.look())
        moment = time.monotonic_ns()
        self._round.done[fault.kind] += 1
        self._round._note(moment, f"{fault.kind}: {', '.join(seat.name for seat in seats)} {fault.draw}")
        return moment, joined

    def _harm(self, seat, act, what, began, end=None):
        """All clients that are behind it."""
        moment, joined = began
        desks = self._site.desks if seat.is_local else [seat]
        return self._round.harms.to_hosts([desk.name for desk in desks], act, what, moment, end, joined)

    # Packets

    def _cut(self, fault, seat):
        if seat.is_cut or not seat.init:
            self._round._after(0.2, lambda: self.do(fault))
            return
        self._cuts[seat] = self._harm(seat, Act.APART, fault.kind, self._begun(fault, [seat]))
        seat.is_cut = True
        action = "reject" if fault.kind == "connections refused" else "drop"
        direction = fault.draw.get("direction", "both")
        self._site.lab.post(
            lambda _: self._round._after(fault.draw["seconds"], lambda: self._heal(seat)),
            do=action, name=seat.name, direction=direction)

    def _heal(self, seat):
        def healed(_):
            seat.is_cut = False
            moment = time.monotonic_ns()
            if harm := self._cuts.pop(seat, None):
                harm.end = moment
            self._round._note(moment, f"healed: {seat.name}")

        if not seat.init:
            healed(None)  # once it is on again
            return

        self._site.lab.post(healed, do="heal", name=seat.name)

    def _reset(self, desk, began):
        harm = self._harm(desk, Act.BROKEN, "connections reset", began, began[0])

        def done(_):
            # It takes a moment, in which one that has just begun may be hit.
            harm.end = time.monotonic_ns()

        self._site.lab.post(done, do="reset", name=desk.name)

    # sshd

    def _stop_sshd(self, fault):
        if not self._sshd_runs or not self._site.bench.init:
            self._round._after(0.2, lambda: self.do(fault))
            return
        desk = self._site.desks[int(fault.draw["target"] * len(self._site.desks))]
        began = self._begun(fault, [self._site.bench])
        self._shut = self._harm(self._site.bench, Act.SHUT, fault.kind, began)
        self._sshd_runs = False
        self._site.lab.post(lambda _: None, do="sshd", name=SEMAPHORES, action="stop")
        if desk.init:
            # Somebody has to want a new connection.
            self._reset(desk, began)
        self._round._after(fault.draw["seconds"], self._start_sshd)

    def _start_sshd(self):
        def started(_):
            if self._shut:
                self._shut.end = time.monotonic_ns()
                self._round._note(self._shut.end, "sshd started")
            self._shut = None

        if not self._sshd_runs and self._site.bench.init:
            self._site.lab.post(started, do="sshd", name=SEMAPHORES, action="start")
        self._sshd_runs = True

    def _kill_session(self, fault, number):
        """Of that job, or of any whose it is can be told."""
        census, owners = self._round.look(), self._round.owners
        servers = [each for each in census.on(self._site.bench.init) if each.name.startswith("sshd")]
        sessions = [(owners.of_session(each), each) for each in servers if census.ancestor(each, "sshd")]
        sessions = [each for each in sessions if each[0] is not None and number in (None, each[0])]
        if not sessions:
            return False
        owner, victim = sessions[int(fault.draw["target"] * len(sessions))]
        joined = self._round.joined(census)
        moment = processes.send(victim.pid, signal.SIGKILL, victim.name)
        if moment is None:
            return False
        self._begun(fault, [self._site.bench], joined)
        what = f"{fault.kind}: process {victim.pid} ({victim.name})"
        self._round.harms.to_job(owner, Act.BROKEN, what, moment, moment, joined)
        self._stay(fault, number, 1.5)
        return True

    # Power

    def _power(self, fault, seat):
        if not seat.init or (seat.is_local and not self._sshd_runs):
            self._round._after(0.2, lambda: self.do(fault))
            return
        began = self._begun(fault, [seat])
        moment = time.monotonic_ns()
        self._off[seat] = self._harm(seat, Act.APART, fault.kind, began)
        orphaned = self._harm(seat, Act.ORPHANED, fault.kind, began) if seat.is_local else None
        self._round.killed_on(seat, moment)

        def gone():
            if orphaned:
                orphaned.end = time.monotonic_ns()
            # Some may have begun since.
            self._round.killed_on(seat, moment)
            self._round._after(fault.draw["seconds"], lambda: self._boot(seat))

        self._site.off(seat, gone)

    def _boot(self, seat):
        if seat not in self._off:
            return
        harm = self._off.pop(seat)

        def ready():
            harm.end = time.monotonic_ns()
            self._round._note(harm.end, f"on again: {seat.name}")

        self._site.boot(seat, ready)

    # The end

    def end(self):
        """All is well again."""
        self._site.lab.settle()
        for seat in list(self._off):
            self._boot(seat)
        self._site.lab.settle()
        self._start_sshd()
        for seat in self._site.seats:
            self._heal(seat)
        self._site.lab.settle()
