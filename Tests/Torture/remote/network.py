"""Faults of the network and of whole hosts."""

import signal
import time

import processes
from remote import plan
from remote.census import Census
from remote.site import SEMAPHORES


class Network:
    def __init__(self, round):
        self._round = round
        self._site = round.site
        self._sshd_runs = True
        self._off = set()  # seats

    @property
    def is_down(self):
        """Nobody gets a connection to the semaphore's host."""
        bench = self._site.bench
        return bench.is_cut or not bench.init or not self._sshd_runs

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
            self._begun(fault, [desk])
            self._site.lab.post(lambda _: None, do="reset", name=desk.name)
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

    def _begun(self, fault, seats):
        moment = time.monotonic_ns()
        self._round.done[fault.kind] += 1
        desks = self._site.desks if any(seat.is_local for seat in seats) else seats
        self._round.shake(self._round.running(desks))
        self._round._note(moment, f"{fault.kind}: {', '.join(seat.name for seat in seats)} {fault.draw}")

    # Packets

    def _cut(self, fault, seat):
        if seat.is_cut or not seat.init:
            self._round._after(0.2, lambda: self.do(fault))
            return
        self._begun(fault, [seat])
        seat.is_cut = True
        action = "reject" if fault.kind == "connections refused" else "drop"
        direction = fault.draw.get("direction", "both")
        self._site.lab.post(
            lambda _: self._round._after(fault.draw["seconds"], lambda: self._heal(seat)),
            do=action, name=seat.name, direction=direction)

    def _heal(self, seat):
        if not seat.init:
            seat.is_cut = False  # once it is on again
            return

        def healed(_):
            seat.is_cut = False
            self._round._note(time.monotonic_ns(), f"healed: {seat.name}")

        self._site.lab.post(healed, do="heal", name=seat.name)

    # sshd

    def _stop_sshd(self, fault):
        if not self._sshd_runs or not self._site.bench.init:
            self._round._after(0.2, lambda: self.do(fault))
            return
        desk = self._site.desks[int(fault.draw["target"] * len(self._site.desks))]
        self._begun(fault, [self._site.bench])
        self._sshd_runs = False
        self._site.lab.post(lambda _: None, do="sshd", name=SEMAPHORES, action="stop")
        if desk.init:
            # Somebody has to want a new connection.
            self._site.lab.post(lambda _: None, do="reset", name=desk.name)
        self._round._after(fault.draw["seconds"], self._start_sshd)

    def _start_sshd(self):
        if not self._sshd_runs and self._site.bench.init:
            self._site.lab.post(lambda _: None, do="sshd", name=SEMAPHORES, action="start")
            self._round._note(time.monotonic_ns(), "sshd started")
        self._sshd_runs = True

    def _kill_session(self, fault, number):
        census = Census()
        bench = self._site.bench
        sessions = []
        if number is not None:
            agent = self._round.signals.holding_agent(census, number)
            session = agent and census.ancestor(agent, "sshd")
            sessions = [session] if session else []
        if not sessions:
            servers = [each for each in census.on(bench.init) if each.name.startswith("sshd")]
            sessions = [each for each in servers if census.ancestor(each, "sshd")]
        if not sessions:
            return False
        victim = sessions[int(fault.draw["target"] * len(sessions))]
        moment = processes.send(victim.pid, signal.SIGKILL, victim.name)
        if moment is None:
            return False
        # Whose it is can't be seen.
        self._begun(fault, [bench])
        self._stay(fault, number, 1.5)
        return True

    # Power

    def _power(self, fault, seat):
        if not seat.init or (seat.is_local and not self._sshd_runs):
            self._round._after(0.2, lambda: self.do(fault))
            return
        self._begun(fault, [seat])
        self._off.add(seat)
        moment = time.monotonic_ns()
        self._round.killed_on(seat, moment)

        def gone():
            # Some may have begun since.
            self._round.killed_on(seat, moment)
            self._round._after(fault.draw["seconds"], lambda: self._boot(seat))

        self._site.off(seat, gone)

    def _boot(self, seat):
        if seat not in self._off:
            return
        self._off.discard(seat)

        def ready():
            self._round._note(time.monotonic_ns(), f"on again: {seat.name}")

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
