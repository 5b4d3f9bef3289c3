"""Test hosts: the one that the semaphores are on, and clients, each with a network, processes and files of its own."""

import os
import shutil
import subprocess
from typing import Callable, Iterable

import served

from .bench import Bench
from .report import Head, Row, unmeasured

SEMAPHORES = "lab@bench"
CLIENTS = ("client1", "client2")


class Site:
    """The hosts of one measurement; each client has semq, and the semaphores' host has had it from there."""

    def __init__(self, bench: Bench, lab: served.Lab, see: Iterable[str]):
        self.bench, self.lab = bench, lab
        self.root = lab.ask("create", name="bench", see=[bench.folder])["root"]
        self.roots = {}
        for client in CLIENTS:
            self.roots[client] = lab.ask("create", name=client, client=True, see=[bench.folder, *see])["root"]
            shutil.copy(bench.semq.binary, self.roots[client] + "/usr/local/bin/semq")
            self.made_queue(client)

    def path(self) -> str:
        """A new file on the semaphores' host, which nobody has used."""
        return f"/srv/queue-{self.bench.label()}"

    def queue(self) -> str:
        return f"{SEMAPHORES}:{self.path()}"

    def made_queue(self, client: str = CLIENTS[0]) -> str:
        """One whose file is there."""
        queue = self.queue()
        self.run(client, ["semq", "acquire", queue, "--", "true"])
        return queue

    def outside(self, queue: str) -> str:
        """Where the file of a queue is seen from here."""
        return self.root + queue.removeprefix(f"{SEMAPHORES}:")

    def words(self, client: str, words: list[str]) -> list[str]:
        return self.lab.words(client, words)

    def run(self, client: str, words: list[str]) -> str:
        done = self.lab.run(client, words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"on {client}: {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout


def on_hosts(bench: Bench, heads: list[Head], measured: Callable[[Site], list[Row]], see: Iterable[str] = ()) -> list[Row]:
    """What is measured there; where there can be no test hosts, rows that say why.

    `see`: files of this machine that the clients need.
    """
    reason = obstacle()
    if reason:
        return [unmeasured(head, reason) for head in heads]
    with served.Lab() as lab:
        return measured(Site(bench, lab, see))


def obstacle() -> str:
    """Why there can be none here; empty if there can."""
    program = os.path.join(os.path.dirname(served.__file__), "host")
    done = subprocess.run([program, "check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip().removeprefix("host: ") if done.returncode != 0 else ""
