"""From a holder on one client host to the next one on another, by way of a third."""

import contextlib
import os
import signal
import time

from . import processes
from .bench import Bench, Holder
from .figures import Figure
from .history import handovers
from .hosts import CLIENTS, Site, on_hosts
from .remote_peers import SSHFlock, SSHSemq
from .report import Head, Row, Verdict

HANDOVER = Head(name="handover", what="hand-over between two remote waiters", target="≤ 5 ms")
GOODBYE = Head(
    name="goodbye", what="an orderly release, or Ctrl-C of a remote holder, to the next grant", target="≤ 20 ms")


class Pair:
    """A holder on one client host, and one who waits behind it on the other."""

    def __init__(self, site: Site, peer):
        self.site, self.peer = site, peer
        self.lock, self.log = peer.fresh(), site.bench.log()
        self.number = 0
        self.holder = self._join()
        self.holder.await_start()
        self.waiter = self._join()

    def _join(self) -> Holder:
        client = CLIENTS[self.number % len(CLIENTS)]
        member = Holder(self.site.bench, self.peer, self.lock, self.number, self.log,
                        lambda words: self.site.words(client, self.peer.command(self.lock, words)))
        if self.number > 0:
            processes.until(lambda: self.peer.somebody_waits(self.lock), "a waiter", pause=0.01)
            # What is prepared at the head of the queue is ready.
            time.sleep(0.3)
        self.number += 1
        return member

    def _command(self, member: Holder) -> int:
        """As this side numbers it."""
        return processes.named([self.site.bench.helper("hold"), self.log, str(member.index)])

    def step(self, interrupt: bool) -> tuple[float, float]:
        """Nanoseconds from the end of the holder to the next one's grant and to its command's start."""
        holder, heir = self.holder, self.waiter
        command, [front] = self._command(holder), processes.children(holder.pid)[:1]
        ended = time.monotonic_ns()
        if interrupt:
            # As a terminal does it: to all of the foreground group. The command first, to which semq hands on what
            # comes from a process and not from a terminal.
            os.kill(command, signal.SIGINT)
            with contextlib.suppress(ProcessLookupError):
                os.kill(front, signal.SIGINT)
        else:
            os.kill(command, signal.SIGUSR1)
        _, started, granted = heir.await_start()
        if not interrupt:
            ended = holder.line("end")[1]
        os.waitpid(holder.pid, 0)
        self.holder, self.waiter = heir, self._join()
        return (granted or started) - ended, started - ended

    def close(self) -> None:
        # The one that waits first, so that nobody is granted.
        processes.end([self.waiter.pid])
        os.kill(self._command(self.holder), signal.SIGUSR1)
        os.waitpid(self.holder.pid, 0)


class Run:
    """One kind of end, again and again."""

    def __init__(self, site: Site, peer, interrupt: bool):
        pair = Pair(site, peer)
        steps = [pair.step(interrupt) for _ in range(5 if site.bench.quick else 60)]
        pair.close()
        self.name, self.end = peer.name, "Ctrl-C" if interrupt else "release"
        granted, started = zip(*steps)
        self.to_grant, self.to_start = Figure(list(granted)), Figure(list(started))
        self.written = Figure(handovers(site.outside(pair.lock))[:len(steps)] or [0])

    def line(self, has_grants: bool) -> list[str]:
        def shown(figure: Figure) -> str:
            return figure.text("ms", 1e-6) if has_grants else "–"

        return [self.name, self.end, shown(self.written), shown(self.to_grant), self.to_start.text("ms", 1e-6),
                f"{max(self.to_start.values) * 1e-6:.1f} ms"]


def measure(bench: Bench) -> list[Row]:
    return on_hosts(bench, [HANDOVER, GOODBYE], measured)


def measured(site: Site) -> list[Row]:
    released, interrupted = Run(site, SSHSemq(site), False), Run(site, SSHSemq(site), True)
    flock = Run(site, SSHFlock(site), False)
    worst = max(released.to_grant.median, interrupted.to_grant.median)
    columns = ["", "end", "released → granted, by the history", "to the grant", "to the command's start", "longest"]
    return [
        Row(
            **vars(HANDOVER), figure=f"{released.to_start.text('ms', 1e-6)}; from released to granted by the queue's "
            f"history {released.written.text('ms', 1e-6)}",
            ratio="–", verdict=Verdict(released.to_start.median * 1e-6, 5).text,
            method="Two client hosts take turns at a queue on a third: one holds, the other one waits, seen in the queue. "
            "The holder's command is told to end and logs that; the time runs to the start of the next one's command, "
            f"both by the monotonic clock of the one kernel, {len(released.to_start.values)} times. With flock the commands "
            "run on the lock's host, so nothing but the end of a process lies between.",
            columns=columns, lines=[released.line(True), flock.line(False)]),
        Row(
            **vars(GOODBYE), figure=f"release {released.to_grant.text('ms', 1e-6)}; Ctrl-C "
            f"{interrupted.to_grant.text('ms', 1e-6)}",
            ratio="–", verdict=Verdict(worst * 1e-6, 20).text,
            method="As above; Ctrl-C is SIGINT to semq and its command, and the time runs from before it to the "
            f"grant, which is when the host drew the token, {len(interrupted.to_grant.values)} times.",
            columns=columns, lines=[released.line(True), interrupted.line(True)]),
    ]
