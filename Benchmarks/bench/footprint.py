"""What a waiter takes in memory, and the binary on disk."""

import os
import time

from . import processes
from .bench import Bench, Holder
from .report import Row, Verdict


def measure(bench: Bench) -> list[Row]:
    lines = []
    peaks = {}
    for peer in (bench.semq, bench.flock):
        lock = peer.fresh(bench.folder, bench.label())
        holder = Holder(bench, peer, lock)
        holder.await_start()
        pids: list[int] = []
        for index in range(2):
            pids += peer.start_waiter(lock, [bench.helper("work"), bench.log(), str(index), "1000"])
        time.sleep(1)
        for place, pid in zip(("head of the queue", "second"), pids):
            everybody = [pid, *processes.children(pid)]
            figures = [processes.memory_kb(one) for one in everybody]
            peak, share = sum(f["VmHWM"] for f in figures), sum(f["Pss"] for f in figures)
            peaks[peer.name] = max(peaks.get(peer.name, 0), peak)
            each = " + ".join(f"{f['VmHWM'] / 1024:.1f}" for f in figures)
            lines.append([peer.name, place, str(len(everybody)), f"{peak / 1024:.1f} MiB ({each})",
                          f"{share / 1024:.1f} MiB", f"{sum(f['RssAnon'] for f in figures):,} KiB"])
        holder.release()
        processes.wait([holder.pid, *pids])
    peak, size = peaks["semq"] * 1024 / 1e6, os.path.getsize(bench.semq.binary) / 1e6
    return [Row(
        name="footprint", what="memory of a waiting `semq` (peak RSS, guardian included) and size of the binary",
        target="≤ 16 MB, ≤ 20 MB", figure=f"{peak:.1f} MB; {size:.1f} MB", ratio="–",
        verdict=f"{Verdict(peak, 16).text}; {Verdict(size, 20).text}",
        method="VmHWM of the waiting process and of all below it, which at the head of the queue are guardian and "
        "command-to-be, added up although they share most pages; beside it PSS, which divides shared pages among all who map them, and "
        "the memory that is nobody else's. Size of the stripped, fully static binary.",
        columns=["", "place", "processes", "peak RSS", "PSS", "private"], lines=lines)]
