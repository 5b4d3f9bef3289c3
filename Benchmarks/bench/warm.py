"""The library's requests to another host over a connection that it has."""

from . import programs
from .bench import Bench
from .figures import Figure
from .hosts import CLIENTS, SEMAPHORES, Site, on_hosts
from .report import Head, Row, Verdict
from .startup import rounds

HEAD = Head(
    name="warm", what="remote status, or acquire and release, on a warm session of the library", target="≤ 5 ms")
MODES = {
    "status": "semq, `status()`", "task": "semq, `withPermit`, in a task", "main": "semq, `withPermit`, on the main actor",
}


def measure(bench: Bench) -> list[Row]:
    program = programs.build(bench, "APIBenchmark")
    return on_hosts(bench, [HEAD], lambda site: measured(site, program), programs.needed(program))


def measured(site: Site, program: str) -> list[Row]:
    count, processes = ("100", 2) if site.bench.quick else ("1000", 5)
    times: dict[str, list[float]] = {mode: [] for mode in MODES}
    for _ in range(processes):
        queue = site.made_queue()
        for mode in MODES:
            times[mode] += map(float, site.run(CLIENTS[0], [program, queue, count, mode]).split())
    shared = through_shared_connection(site)
    figures = {mode: Figure(values) for mode, values in times.items()}
    worst = max(figures["task"].median, figures["main"].median)
    lines = [[MODES[mode], figure.text("ms", 1e-6), f"> {figure.percentile(0.99) * 1e-6:.1f} ms"]
             for mode, figure in figures.items()]
    lines.append(["`ssh host flock F true` through a connection shared by ControlMaster, whole process",
                  shared.text("ms", 1e-6), f"> {shared.percentile(0.99) * 1e-6:.1f} ms"])
    return [Row(
        **vars(HEAD),
        figure=f"status {figures['status'].text('ms', 1e-6)}; acquire and release {figures['task'].text('ms', 1e-6)} in "
        f"a task, {figures['main'].text('ms', 1e-6)} on the main actor",
        ratio="–", verdict=Verdict(max(worst, figures["status"].median) * 1e-6, 5).text,
        method=f"`SemaphoreQueue(\"{SEMAPHORES}:F\")` on a client host: `status()`, and `withPermit {{ _ in }}`, each "
        f"{int(count):,} times one after the other in each of {processes} processes, after a hundred that don't count. "
        "The verdict is about the slowest.",
        columns=["", "time", "longest 1 %"], lines=lines)]


def through_shared_connection(site: Site) -> Figure:
    control = ["ssh", "-o", "ControlPath=/run/bench-control"]
    site.lab.run(CLIENTS[0], [*control, "-o", "ControlMaster=yes", "-f", "-N", SEMAPHORES], check=True)
    command = [*control, SEMAPHORES, "flock", site.path(), "true"]
    [times] = rounds(site.bench, [command], 10 if site.bench.quick else 300, lambda words: site.words(CLIENTS[0], words))
    site.lab.run(CLIENTS[0], [*control, "-q", "-O", "exit", SEMAPHORES], check=True)
    return Figure(times)
