"""How each peer is told to run a command under a lock, and how it is seen waiting."""

import os
import subprocess
import time

from . import processes


class Peer:
    name = ""

    def fresh(self, folder: str, label: str) -> str:
        """A new lock, which nobody has used."""
        return os.path.join(folder, f"{self.name.replace(' ', '-')}-{label}")

    def command(self, lock: str, words: list[str]) -> list[str]:
        raise NotImplementedError

    def seen_waiting(self, pid: int) -> bool:
        raise NotImplementedError

    def start_waiter(self, lock: str, words: list[str]) -> list[int]:
        """Starts one more and returns when it stands in the queue."""
        pid = processes.spawn(self.command(lock, words))
        processes.until(lambda: self.seen_waiting(pid), f"a {self.name} to wait")
        return [pid]


class Semq(Peer):
    name = "semq"

    def __init__(self, binary: str):
        self.binary = binary

    def command(self, lock, words, options=()):
        return [self.binary, "acquire", *options, lock, "--", *words]

    def seen_waiting(self, pid):
        return processes.has_ticket(pid) and processes.state(pid) == "S"


class Flock(Peer):
    name = "flock"

    def command(self, lock, words):
        return ["flock", lock, *words]

    def seen_waiting(self, pid):
        return processes.waits_in_flock(pid)


class Sem(Peer):
    """GNU sem polls: it is seen waiting when it has slept through several looks."""

    name = "GNU sem"

    def __init__(self, home: str):
        processes.ENVIRONMENT["PARALLEL_HOME"] = home
        os.makedirs(home, exist_ok=True)
        with open(os.path.join(home, "will-cite"), "w", encoding="utf-8"):
            pass

    def fresh(self, folder, label):
        return f"bench-{os.getpid()}-{label}"

    def command(self, lock, words):
        return ["sem", "--id", lock, "-j1", "--fg", *words]

    def seen_waiting(self, pid):
        for _ in range(12):
            if processes.state(pid) != "S":
                return False
            time.sleep(0.003)
        return True


class Tsp(Peer):
    """A queue in a server, one for each lock: who has handed in a job stands in it."""

    name = "tsp"

    def __init__(self):
        self.servers: list[str] = []

    def fresh(self, folder, label):
        lock = os.path.join(folder, f"tsp-{label}")
        processes.ENVIRONMENT["TS_SOCKET"] = lock
        processes.ENVIRONMENT["TMPDIR"] = folder
        self.servers.append(lock)
        # The server starts with the first job and stays.
        subprocess.run(["tsp", "-nf", "true"], env=processes.ENVIRONMENT, check=True)
        return lock

    def command(self, lock, words):
        return ["tsp", "-nf", *words]

    def start_waiter(self, lock, words):
        processes.wait([processes.spawn(["tsp", "-n", *words])])
        return []

    def close(self) -> None:
        while self.servers:
            environment = {**processes.ENVIRONMENT, "TS_SOCKET": self.servers.pop()}
            subprocess.run(["tsp", "-K"], env=environment, check=False)
