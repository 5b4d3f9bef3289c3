"""A purely local acquire beside that of the last release in which all was local."""

import os
import shutil
import subprocess
import sys

from .bench import Bench
from .figures import Figure, ratio
from .peers import Semq
from .report import Head, Row, Verdict, unmeasured
from .startup import rounds

# The last commit before semaphores on other hosts.
COMMIT = "0fbb893c51c83104e865cefafaf30ff8ced23ec3"
HEAD = Head(
    name="before", what="start-up of a purely local `semq acquire` beside that of the release before", target="≤ 1.05 ×")


def build(root: str) -> str:
    """The binary of that commit, made once, by its own script."""
    tree = os.path.join(root, ".build-bench-before", COMMIT[:7])
    binary = os.path.join(tree, ".build-static", "bin", "semq")
    if not os.path.exists(binary):
        print(f"bench: builds semq as of {COMMIT[:7]}", file=sys.stderr, flush=True)
        shutil.rmtree(tree, ignore_errors=True)
        subprocess.run(["git", "clone", "-q", "--no-checkout", root, tree], check=True)
        subprocess.run(["git", "-C", tree, "checkout", "-q", COMMIT], check=True)
        subprocess.run([os.path.join(tree, "scripts", "build")], stdout=sys.stderr, check=True)
    return binary


def measure(bench: Bench) -> list[Row]:
    root = os.path.dirname(bench.sources)
    known = subprocess.run(["git", "-C", root, "cat-file", "-e", f"{COMMIT}^{{commit}}"], stderr=subprocess.DEVNULL)
    if known.returncode != 0:
        return [unmeasured(HEAD, f"this checkout's history doesn't reach back to {COMMIT[:7]}")]
    # Both are copied anew, so that the page cache has them alike.
    peers = [Semq(shutil.copy(binary, bench.helper(f"semq-{label}")))
             for binary, label in ((bench.semq.binary, "now"), (build(root), "before"))]
    commands = [peer.command(peer.fresh(bench.folder, bench.label()), ["true"]) for peer in peers]
    commands += [[peer.binary, "--version"] for peer in peers]
    rounds(bench, commands, 20)
    now, before, bare_now, bare_before = rounds(bench, commands, 300 if bench.quick else 3000)
    relation = ratio(now, before)
    sizes = [f"{os.path.getsize(peer.binary) / 1e6:.1f} MB" for peer in peers]
    return [Row(
        **vars(HEAD),
        figure=f"{Figure(now).text('ms', 1e-6)}; before {Figure(before).text('ms', 1e-6)}",
        ratio=relation.text("×"), verdict=Verdict(relation.median, 1.05).text,
        method=f"`semq acquire F -- true`, whole process, as in the first row, {len(now):,} rounds by turns with the binary "
        f"of commit {COMMIT[:7]}, the last one before semaphores on other hosts, built by its own script.",
        columns=["", "`semq acquire F -- true`", "`semq --version`", "size"],
        lines=[["now", Figure(now).text("ms", 1e-6), Figure(bare_now).text("ms", 1e-6), sizes[0]],
               ["before", Figure(before).text("ms", 1e-6), Figure(bare_before).text("ms", 1e-6), sizes[1]]])]
