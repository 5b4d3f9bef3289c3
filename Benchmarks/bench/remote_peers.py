"""Who takes turns at a lock on another host, and how it is seen waiting."""

import json
import re
import subprocess

from . import processes
from .hosts import Site


class SSHSemq:
    name = "semq"

    def __init__(self, site: Site):
        self.site = site

    def fresh(self) -> str:
        return self.site.queue()

    def command(self, lock: str, words: list[str]) -> list[str]:
        return ["semq", "acquire", lock, "--", *words]

    def somebody_waits(self, lock: str) -> bool:
        words = [self.site.bench.semq.binary, "status", "--json", self.site.outside(lock)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return len(json.loads(done.stdout)["waiting"]) > 0


class SSHFlock:
    """The command runs on the host, with the lock."""

    name = "ssh and flock"

    def __init__(self, site: Site):
        self.site = site

    def fresh(self) -> str:
        return self.site.path()

    def command(self, lock: str, words: list[str]) -> list[str]:
        return ["ssh", "root@bench", "flock", lock, *words]

    def somebody_waits(self, lock: str) -> bool:
        pids = re.findall(r"-> FLOCK\s+ADVISORY\s+\w+ (\d+) ", processes.read("/proc/locks"))
        return any(lock in processes.words(int(pid)) for pid in pids)
