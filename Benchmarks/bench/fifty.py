"""Fifty wait, each does a millisecond's work."""

from . import processes
from .bench import Bench, Holder, work_lines
from .figures import Figure, inversions, number, ratio
from .report import Row, Verdict

WAITERS = 50


def once(bench: Bench, peer, words=None) -> tuple[float, int]:
    """Grants per second, and inversions."""
    lock = peer.fresh(bench.folder, bench.label())
    wrap = (lambda command: peer.command(lock, command, words)) if words else None
    holder = Holder(bench, peer, lock, words=wrap)
    holder.await_start()
    log = bench.log()
    pids: list[int] = []
    try:
        for index in range(WAITERS):
            command = [bench.helper("work"), log, str(index), "1000"]
            pids += peer.start_waiter(lock, command)
        holder.release()
        processes.wait([holder.pid, *pids])
        pids = []
    finally:
        processes.end(pids)
    processes.until(lambda: processes.read(log).count("\n") == WAITERS, "all commands to end")
    lines = work_lines(log)
    rate = (WAITERS - 1) / ((lines[-1][1] - lines[0][1]) / 1e9)
    return rate, inversions([line[0] for line in lines])


def measure(bench: Bench) -> list[Row]:
    count, slow_count = (3, 1) if bench.quick else (31, 3)
    fast, slow = [bench.semq, bench.flock], [bench.sem, bench.tsp]
    rates: dict[str, list[float]] = {}
    wrong: dict[str, list[int]] = {}
    for turn in range(count):
        peers = fast if turn % 2 == 0 else fast[::-1]
        for peer in peers + (slow if turn < slow_count else []):
            rate, inverted = once(bench, peer)
            rates.setdefault(peer.name, []).append(rate)
            wrong.setdefault(peer.name, []).append(inverted)
            if peer is bench.tsp:
                bench.tsp.close()
    relation = ratio(rates["semq"], rates["flock"])
    pairs = WAITERS * (WAITERS - 1) // 2
    lines = [
        [name, Figure(rates[name]).text("/s"), f"{number(1000 / Figure(rates[name]).median)} ms",
         f"{sum(wrong[name])} of {pairs * len(wrong[name]):,}", str(len(rates[name]))]
        for name in rates
    ]
    verdict = Verdict(relation.median, 1.0, at_least=True).text
    verdict += ", no inversion" if sum(wrong["semq"]) == 0 else f", **{sum(wrong['semq'])} inversions**"
    return [Row(
        name="fifty", what="50 waiting processes, 1 ms inside: grants per second against flock",
        target="≥ 1.0 ×, no inversion",
        figure=f"{Figure(rates['semq']).text('/s')}; flock {Figure(rates['flock']).text('/s')}",
        ratio=relation.text("×"), verdict=verdict,
        method="Behind a holder the waiters are started one by one, each seen waiting in the kernel before the next "
        "(for GNU sem: seen asleep; for tsp: handed in). The command spins for 1 ms and logs its start by a monotonic "
        "clock: the rate is that from the first start to the last, an inversion a pair that started in the other order "
        "than that of arrival.",
        columns=["", "grants", "a grant each", "inversions", "rounds"], lines=lines)]
