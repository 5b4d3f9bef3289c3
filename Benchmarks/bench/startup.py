"""A whole process, nobody else there."""

import subprocess
from typing import Callable

from . import processes
from .bench import Bench
from .figures import Figure, ratio
from .report import Row, Verdict


def rounds(
    bench: Bench, commands: list[list[str]], count: int, at: Callable[[list[str]], list[str]] = lambda words: words,
) -> list[list[float]]:
    """The ns of each command, by turns. `at`: what to start a program by elsewhere."""
    listing, out = bench.log(), bench.log()
    with open(listing, "w", encoding="utf-8") as file:
        file.write("".join("\t".join(words) + "\n" for words in commands))
    subprocess.run(at([bench.helper("spawn"), str(count), listing, out]), env=processes.ENVIRONMENT, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    lines = processes.read(out).splitlines()
    return [list(column) for column in zip(*([float(word) for word in line.split()] for line in lines))]


def measure(bench: Bench) -> list[Row]:
    words = ["true"]
    fast = [bench.semq, bench.flock]
    commands = [peer.command(peer.fresh(bench.folder, bench.label()), words) for peer in fast]
    commands += [words, [bench.semq.binary, "--version"]]
    rounds(bench, commands, 20)
    ours, flock, bare, version = rounds(bench, commands, 200 if bench.quick else 3000)
    slow_peers = [bench.sem, bench.tsp]
    slow = [peer.command(peer.fresh(bench.folder, bench.label()), words) for peer in slow_peers]
    slow = rounds(bench, slow + [commands[0]], 5 if bench.quick else 40)
    relation = ratio(ours, flock)
    lines = [
        [name, Figure(values).text("ms", 1e-6)]
        for name, values in (
            ("semq", ours), ("flock", flock), ("GNU sem", slow[0]), ("tsp, its server running", slow[1]),
            ("`true` alone", bare), ("`semq --version`", version),
        )
    ]
    return [Row(
        name="startup", what="`semq acquire F -- true` against `flock F true`, whole process", target="≤ 1.5 ×",
        figure=f"{Figure(ours).text('ms', 1e-6)}; flock {Figure(flock).text('ms', 1e-6)}",
        ratio=relation.text("×"), verdict=Verdict(relation.median, 1.5).text,
        method=f"A C program starts each command with `posix_spawnp` and waits for it, by turns, {len(ours):,} rounds, "
        f"on a lock file that exists. GNU sem and tsp, which are far slower, have {len(slow[0])} rounds of their own.",
        columns=["", "time"], lines=lines)]
