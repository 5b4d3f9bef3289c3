"""What all rows share: folder, helpers, peers."""

import os
import shutil
import subprocess
import tempfile

from . import processes
from .peers import Flock, Sem, Semq, Tsp


class Bench:
    HELPERS = ("work", "hold", "chain", "spawn", "uncontended")

    def __init__(self, semq: str, quick: bool):
        self.quick = quick
        self.sources = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self.folder = tempfile.mkdtemp(prefix="semq-bench-")
        self.semq = Semq(semq)
        self.flock = Flock()
        self.sem = Sem(os.path.join(self.folder, "parallel"))
        self.tsp = Tsp()
        self._labels = 0
        for helper in self.HELPERS:
            source = os.path.join(self.sources, "helpers", f"{helper}.c")
            subprocess.run(["gcc", "-O2", "-Wall", "-static", "-o", self.helper(helper), source], check=True)

    def helper(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def label(self) -> str:
        self._labels += 1
        return str(self._labels)

    def log(self) -> str:
        return os.path.join(self.folder, f"log-{self.label()}")

    def close(self) -> None:
        self.tsp.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def peer_versions(self) -> list[str]:
        def first(words: list[str]) -> str:
            out = subprocess.run(
                words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
            return out.strip().splitlines()[0]

        return [
            first([self.semq.binary, "--version"]),
            first(["flock", "--version"]),
            first(["sem", "--version"]),
            first(["tsp", "-V"]).split(" - ")[0],
            first(["ssh", "-V"]).split(",")[0],
        ]


class Holder:
    """Somebody who holds a lock until told to end."""

    def __init__(self, bench: Bench, peer, lock: str, index: int = -1, log: str = "", words=None):
        self.log = log or bench.log()
        self.index = index
        command = [bench.helper("hold"), self.log, str(index)]
        self.errors = f"{self.log}.{index}.errors"
        self.pid = processes.spawn(words(command) if words else peer.command(lock, command), self.errors)

    def line(self, kind: str) -> list[int] | None:
        for line in processes.read(self.log).splitlines():
            words = line.split()
            if words[0] == kind and int(words[1]) == self.index:
                return [int(word) for word in words[2:]]
        return None

    def await_start(self) -> list[int]:
        def has_started() -> bool:
            if self.line("start") is None and processes.state(self.pid) in ("", "Z"):
                raise RuntimeError(f"a holder has ended without a start; it said: {processes.read(self.errors)!r}")
            return self.line("start") is not None

        processes.until(has_started, "a holder to start")
        return self.line("start")

    def release(self) -> None:
        os.kill(self.line("start")[0], 10)


def work_lines(log: str) -> list[list[int]]:
    """INDEX start end granted of each command, in the order in which they ran."""
    lines = [[int(word) for word in line.split()] for line in processes.read(log).splitlines()]
    return sorted(lines, key=lambda line: line[1])
