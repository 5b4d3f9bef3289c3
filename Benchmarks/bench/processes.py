"""Starting processes cheaply, and looking at them through /proc."""

import os
import re
import signal
import time

ENVIRONMENT = dict(os.environ)


def spawn(words: list[str], stderr: str = os.devnull) -> int:
    """Starts a process with nothing on standard input and output."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, stderr, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644),
    ]
    # A shell's background job ignores Ctrl-C, and so would all that it starts.
    return os.posix_spawnp(words[0], words, ENVIRONMENT, file_actions=actions, setsigdef=[signal.SIGINT, signal.SIGQUIT])


def wait(pids: list[int]) -> None:
    """Until all have ended well. A process that failed ends the measurement."""
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        if status != 0:
            raise RuntimeError(f"a process ended with {os.waitstatus_to_exitcode(status)}")


def until(condition, what: str, limit: float = 60, pause: float = 0.0005) -> None:
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {limit} s for {what}")
        time.sleep(pause)


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def state(pid: int) -> str:
    """As in ps: R, S, D, T, Z; empty for none."""
    return read(f"/proc/{pid}/stat").rpartition(")")[2][1:2]


def parent(pid: int) -> int:
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def tree(pid: int, root: int) -> list[int]:
    """`pid` and its ancestors up to `root`, the root first."""
    found = [pid]
    while found[0] != root and found[0] > 1:
        found.insert(0, parent(found[0]))
    return found


def children(pid: int) -> list[int]:
    """All descendants."""
    direct = [int(word) for word in read(f"/proc/{pid}/task/{pid}/children").split()]
    return direct + [below for child in direct for below in children(child)]


def words(pid: int) -> list[str]:
    """What it was called with."""
    return read(f"/proc/{pid}/cmdline").split("\0")[:-1]


def named(called: list[str]) -> int:
    """The one that was called with these words, wherever it runs, as this side numbers it."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and words(int(entry)) == called]
    if len(pids) != 1:
        raise RuntimeError(f"{len(pids)} processes, not one, are: {' '.join(called)}")
    return pids[0]


def cpu_ns(pid: int) -> int:
    """Time on a processor, of all threads (schedstat: clock ticks are too coarse)."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return 0
    texts = (read(f"/proc/{pid}/task/{thread}/schedstat") for thread in threads)
    return sum(int(text.split()[0]) for text in texts if text)


def memory_kb(pid: int) -> dict[str, int]:
    """VmHWM (the peak of the resident set), RssAnon (what is the process's own) and Pss."""
    values = {}
    for path, key in (("status", "VmHWM"), ("status", "RssAnon"), ("smaps_rollup", "Pss")):
        found = re.search(rf"^{key}:\s+(\d+) kB", read(f"/proc/{pid}/{path}"), re.MULTILINE)
        values[key] = int(found[1]) if found else 0
    return values


def has_ticket(pid: int) -> bool:
    """Whether a semq stands in a queue: it holds a lock at the offsets of the tickets."""
    try:
        descriptors = os.listdir(f"/proc/{pid}/fdinfo")
    except OSError:
        return False
    for descriptor in descriptors:
        if int(descriptor) < 3:
            continue
        for line in read(f"/proc/{pid}/fdinfo/{descriptor}").splitlines():
            words = line.split()
            if "OFDLCK" in words and "->" not in words and int(words[-2]) >= 1 << 61:
                return True
    return False


def waits_in_flock(pid: int) -> bool:
    """Whether the kernel lists it as waiting for a flock(2)."""
    return re.search(rf"-> FLOCK\s+ADVISORY\s+\w+ {pid} ", read("/proc/locks")) is not None


def end(pids: list[int]) -> None:
    """Kills what is left of our own children."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    for pid in pids:
        try:
            os.waitpid(pid, 0)
        except OSError:
            pass
