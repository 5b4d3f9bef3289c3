"""Acquire and release through the library, in one process, nobody else there."""

import subprocess

from . import processes, programs
from .bench import Bench
from .figures import Figure
from .report import Row, Verdict


def output(words: list[str]) -> list[str]:
    return subprocess.run(words, env=processes.ENVIRONMENT, check=True, capture_output=True, text=True).stdout.splitlines()


def measure(bench: Bench) -> list[Row]:
    program = programs.build(bench, "APIBenchmark")
    count = "2000" if bench.quick else "20000"
    ours: list[float] = []
    on_main: list[float] = []
    opened: list[float] = []
    bare: list[float] = []
    medians: list[float] = []
    for _ in range(3 if bench.quick else 9):
        words = [program, bench.semq.fresh(bench.folder, bench.label()), count]
        on_main += [float(line) for line in output([*words, "main"])]
        times = [float(line) for line in output([*words, "task"])]
        ours += times
        medians.append(Figure(times).median)
        for line in output([bench.helper("uncontended"), bench.flock.fresh(bench.folder, bench.label()), count]):
            first, second = line.split()
            opened.append(float(first))
            bare.append(float(second))
    figure = Figure(ours)
    return [Row(
        name="api", what="in one process, uncontended acquire and release through the API", target="≤ 30 µs",
        figure=f"{figure.text('µs', 1e-3)} in a task; on the main actor {Figure(on_main).text('µs', 1e-3)}", ratio="–", 
        verdict=Verdict(max(figure.median, Figure(on_main).median) * 1e-3, 30).text,
        method=f"`SemaphoreQueue.withPermit {{ _ in }}`, {int(count):,} times one after the other in each of "
        f"{len(medians)} processes, in a task of the pool and on the main actor (the verdict is about the slower), where the "
        f"body's own task costs a change of threads there and back; history and records written as always. flock(2) by a C program in turn with it.",
        columns=["", "acquire and release", "longest 1 %", "medians of the runs"],
        lines=[
            ["semq, `withPermit`, on the main actor", Figure(on_main).text("µs", 1e-3),
             f"> {Figure(on_main).percentile(0.99) * 1e-3:.1f} µs", "–"],
            ["semq, `withPermit`, in a task", figure.text("µs", 1e-3), f"> {figure.percentile(0.99) * 1e-3:.1f} µs",
             f"{min(medians) * 1e-3:.1f}…{max(medians) * 1e-3:.1f} µs"],
            ["flock(2) with open and close", Figure(opened).text("µs", 1e-3),
             f"> {Figure(opened).percentile(0.99) * 1e-3:.1f} µs", "–"],
            ["flock(2) alone", Figure(bare).text("µs", 1e-3), f"> {Figure(bare).percentile(0.99) * 1e-3:.1f} µs", "–"],
        ])]
