"""What a waiter takes in memory, and the binary on disk."""

import os
import time

from . import processes
from .bench import Bench, Holder
from .peers import Semq
from .report import Row, Verdict


def measure(bench: Bench) -> list[Row]:
    lines = []
    peaks = {}
    built = Semq(os.path.join(os.path.dirname(bench.sources), ".build-static", "bin", "semq"))
    peers = {"semq": bench.semq, "semq, the file that was just built": built, "flock": bench.flock}
    for name, peer in peers.items():
        if peer is built and not os.path.exists(built.binary):
            continue
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
            peaks[name] = max(peaks.get(name, 0), peak)
            each = " + ".join(f"{f['VmHWM'] / 1024:.1f}" for f in figures)
            lines.append([name, place, str(len(everybody)), f"{peak / 1024:.1f} MiB ({each})",
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
        "the memory that is nobody else's. A file that was just built lies in the page cache in pieces of 2 MiB, each of which the kernel maps "
        "as a whole; one that was installed or read from disk doesn't. Size of the stripped, fully static binary.",
        columns=["", "place", "processes", "peak RSS", "PSS", "private"], lines=lines)]
