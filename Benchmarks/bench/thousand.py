"""A thousand wait: what they cost while idle, and how fast they hand over."""

import os
import subprocess
import time

from . import processes
from .bench import Bench, Holder, work_lines
from .figures import Figure, inversions, number, ratio
from .history import handovers
from .report import Row, Verdict

WAITERS = 1000
IDLE = 10


class Run:
    """One queue of a thousand, through its life."""

    def __init__(self, bench: Bench, peer):
        self.lock = peer.fresh(bench.folder, bench.label())
        holder = Holder(bench, peer, self.lock)
        holder.await_start()
        log = bench.log()
        pids: list[int] = []
        try:
            for index in range(WAITERS):
                command = [bench.helper("work"), log, str(index), "1000"]
                pids += peer.start_waiter(self.lock, command)
            time.sleep(2)
            self.idle_cpu = self.idle(pids)
            holder.release()
            processes.wait([holder.pid, *pids])
            pids = []
        finally:
            processes.end(pids)
        processes.until(lambda: processes.read(log).count("\n") == WAITERS, "all commands to end")
        lines = work_lines(log)
        following = list(zip(lines, lines[1:]))
        # From the end of one command to the start of the next, and to its grant.
        self.to_start = Figure([next[1] - line[2] for line, next in following])
        self.to_grant = Figure([next[3] - line[2] for line, next in following if next[3]] or [0])
        self.inversions = inversions([line[0] for line in lines])

    def idle(self, pids: list[int]) -> float:
        """Seconds of processor time that the waiters and all below them take in ten seconds."""
        everybody = pids + [below for pid in pids for below in processes.children(pid)]
        start = time.monotonic()
        before = sum(map(processes.cpu_ns, everybody))
        time.sleep(max(0.0, IDLE - (time.monotonic() - start)))
        return (sum(map(processes.cpu_ns, everybody)) - before) / 1e9


def chain(bench: Bench, runs_work: bool) -> Figure:
    """From unlock to grant in the bare chain; or, with commands, from end to start."""
    log = bench.log()
    words = [bench.helper("chain"), bench.log(), str(WAITERS), "1000", log]
    out = subprocess.run(words + ([bench.helper("work")] if runs_work else []), capture_output=True, text=True,
                         check=True).stdout
    if runs_work:
        lines = work_lines(log)
        return Figure([next[1] - line[2] for line, next in zip(lines, lines[1:])])
    lines = [[int(word) for word in line.split()] for line in out.splitlines()]
    return Figure([next[1] - line[2] for line, next in zip(lines[1:], lines[2:])])


def measure(bench: Bench) -> list[Row]:
    count = 1 if bench.quick else 5
    bare, guarded, ours, theirs = [], [], [], []
    unlock: list[Figure] = []
    for _ in range(count):
        bare.append(chain(bench, False))
        ours.append(Run(bench, bench.semq))
        unlock.append(Figure(handovers(ours[-1].lock)))
        guarded.append(chain(bench, True))
        theirs.append(Run(bench, bench.flock))

    def means(figures: list[Figure]) -> list[float]:
        return [figure.mean for figure in figures]

    relation = ratio(means(unlock), means(bare))
    whole = ratio(means([run.to_start for run in ours]), means([run.to_start for run in theirs]))

    def line(what: str, who: str, figures: list[Figure]) -> list[str]:
        everything = [value for figure in figures for value in figure.values]
        return [what, who, Figure(means(figures)).text("µs", 1e-3), number(Figure(everything).median * 1e-3) + " µs",
                number(Figure(everything).percentile(0.99) * 1e-3) + " µs"]

    handover = Row(
        name="thousand", what="1,000 waiting processes: mean hand-over against the bare C chain", target="≤ 2 ×",
        figure=f"{Figure(means(unlock)).text('µs', 1e-3)}; chain {Figure(means(bare)).text('µs', 1e-3)}",
        ratio=relation.text("×"), verdict=Verdict(relation.median, 2.0).text,
        method="Unlock to grant: for the chain from just before the unlocking call to the return of the blocked one; "
        "for semq, by its own history, from `released`, which is stamped just before the slot is unlocked, to "
        "`granted`, stamped as the kernel's call returns with the slot; exit and "
        "exec of the commands lie outside, and are in the lines “end to start”, where a C program that does the least "
        "(lock, vfork, exec, wait, unlock) and flock stand beside.",
        columns=["from … to", "", "mean of a run", "median", "99th percentile"],
        lines=[
            line("unlock to grant", "bare C chain", bare),
            line("unlock to grant", "semq", unlock),
            line("command's end to next grant", "semq", [run.to_grant for run in ours]),
            line("command's end to next start", "C chain with commands", guarded),
            line("command's end to next start", "flock", [run.to_start for run in theirs]),
            line("command's end to next start", "semq", [run.to_start for run in ours]),
        ],
        notes=[
            f"Command's end to next start, semq against flock: {whole.text('×')}. Inversions in {count} runs: semq "
            f"{sum(run.inversions for run in ours)}, flock {sum(run.inversions for run in theirs)}."
        ])
    cpu, flock_cpu = Figure([run.idle_cpu for run in ours]), Figure([run.idle_cpu for run in theirs])
    idle = Row(
        name="idle", what="1,000 waiting processes, idle for 10 s: CPU of all of them", target="≤ 0.2 s",
        figure=f"{cpu.text('s')}; flock {flock_cpu.text('s')}", ratio="–", verdict=Verdict(cpu.median, 0.2).text,
        method="The sum of the time on a processor (`/proc/PID/task/*/schedstat`) that the waiters, and the guardian "
        "and command that the head has made ready, take in 10 s, from 2 s after the last has joined. The same runs as "
        "the row above, before the holder ends.",
        columns=["", "CPU in 10 s"], lines=[["semq", cpu.text("s")], ["flock", flock_cpu.text("s")]])
    return [handover, idle]
