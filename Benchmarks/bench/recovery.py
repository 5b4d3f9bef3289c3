"""From a release, or the death of the holder's whole tree, to the next grant."""

import os
import signal
import time

from . import processes
from .bench import Bench, Holder
from .figures import Figure
from .report import Row, Verdict

WIDTHS = (1, 2, 4, 8, 16)
BEHIND = 3


class Queue:
    """`width` holders and three who wait behind them, refilled after each step."""

    def __init__(self, bench: Bench, peer, width: int):
        self.bench, self.peer = bench, peer
        self.lock = peer.fresh(bench.folder, bench.label())
        self.log = bench.log()
        self.options = ("--concurrency", str(width)) if width > 1 else None
        self.holders: list[Holder] = []
        self.waiters: list[Holder] = []
        self.next = 0
        for _ in range(width):
            holder = self.add()
            holder.await_start()
            self.holders.append(holder)
        self.fill()

    def add(self) -> Holder:
        wrap = (lambda words: self.peer.command(self.lock, words, self.options)) if self.options else None
        holder = Holder(self.bench, self.peer, self.lock, self.next, self.log, wrap)
        self.next += 1
        return holder

    def fill(self) -> None:
        while len(self.waiters) < BEHIND:
            waiter = self.add()
            processes.until(lambda: self.peer.seen_waiting(waiter.pid), "a waiter")
            self.waiters.append(waiter)
        time.sleep(0.03)

    def step(self, kill: bool) -> tuple[float, float]:
        """Seconds from the end of a holder to the next one's grant and to its command's start."""
        holder = self.holders.pop(self.next % len(self.holders))
        if kill:
            tree = processes.tree(holder.line("start")[0], holder.pid)
            ended = time.monotonic_ns()
            for pid in tree:
                os.kill(pid, signal.SIGKILL)
        else:
            holder.release()
        heir = self.waiters.pop(0)
        _, started, granted = heir.await_start()
        os.waitpid(holder.pid, 0)
        if not kill:
            ended = holder.line("end")[1]
        self.holders.append(heir)
        self.fill()
        return ((granted or started) - ended) / 1e9, (started - ended) / 1e9

    def close(self) -> None:
        for member in self.waiters[::-1] + self.holders:
            start = member.line("start")
            if start:
                os.kill(start[0], signal.SIGKILL)
        processes.end([member.pid for member in self.waiters[::-1] + self.holders])


def measure(bench: Bench) -> list[Row]:
    count = 4 if bench.quick else 40
    queues = [(bench.semq, width) for width in WIDTHS] + [(bench.flock, 1)]
    results: dict[tuple[str, int, bool], list[tuple[float, float]]] = {}
    for peer, width in queues:
        queue = Queue(bench, peer, width)
        try:
            for turn in range(2 * count):
                results.setdefault((peer.name, width, turn % 2 == 1), []).append(queue.step(turn % 2 == 1))
        finally:
            queue.close()
    lines, worst = [], 0.0
    for (name, width, kill), steps in results.items():
        granted, started = (Figure(list(values)) for values in zip(*steps))
        if name == "semq":
            worst = max(worst, started.median)
        lines.append([name, str(width), "SIGKILL" if kill else "release",
                      "–" if name == "flock" else granted.text("ms", 1e3), started.text("ms", 1e3),
                      f"{max(started.values) * 1e3:.2f} ms"])
    return [Row(
        name="recovery", what="release, or SIGKILL of the holder's whole tree, to the next grant; concurrency 1 to 16",
        target="≤ 5 ms", figure=f"{worst * 1e3:.2f} ms (the worst median, to the next command's start)", ratio="–",
        verdict=Verdict(worst * 1e3, 5).text,
        method=f"As many hold as may, three wait; then one holder's command ends, or command, guardian and semq get "
        f"SIGKILL one after the other, by turns, {count} times each. The time runs from the end logged by the command, "
        "or from before the first kill, to the next one's grant and on to the start of its command.",
        columns=["", "concurrency", "end", "to the grant", "to the command's start", "longest"], lines=lines)]
