"""Processes on this machine: marked ones found again, signals that can't hit a stranger, an end for all."""

import ctypes
import os
import shutil
import signal
import time

MARK = "SEMQ_TORTURE"
_SET_CHILD_SUBREAPER = 36


def prepare_root(program, folder):
    """A copy that makes itself another user's, as `sudo` does: of worker.c."""
    root = os.path.join(folder, "asroot")
    shutil.copy(program, root)
    os.chmod(root, 0o4755)
    os.chmod(folder, 0o755)


def become_subreaper():
    """Orphans of what we start become our children, and can be reaped."""
    ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def stat(pid):
    """State, parent and name; None where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return None
    start, end = text.index(b"("), text.rindex(b")")
    fields = text[end + 2 :].split()
    return fields[0].decode(), int(fields[1]), text[start + 1 : end].decode(errors="replace")


def lives(pid):
    found = stat(pid)
    return found is not None and found[0] not in "ZX"


def children(parent):
    """Living children, by a look at all of /proc."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            about = stat(entry)
            if about and about[1] == parent and about[0] not in "ZX":
                found.append((int(entry), about[2]))
    return found


def send(pid, number, name=None):
    """Signals a living process of that name. Returns the moment just before, or None if it lives no more.

    At that moment it was alive: it is seen alive before, and a pidfd can't slip to another process.
    """
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        about = stat(pid)
        if about is None or about[0] in "ZX" or (name and about[2] != name):
            return None
        moment = time.monotonic_ns()
        signal.pidfd_send_signal(handle, number)
        return moment
    except ProcessLookupError:
        return None
    finally:
        os.close(handle)


def marked(mark):
    """All living processes that were started with the mark in their environment: (pid, state, name)."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if wanted not in file.read().split(b"\0"):
                    continue
        except OSError:
            continue
        about = stat(entry)
        if about and about[0] not in "ZX":
            found.append((int(entry), about[0], about[2]))
    return found


def end_all(mark):
    """Kills all that bear the mark, until none is left."""
    for _ in range(500):
        found = marked(mark)
        if not found:
            return
        for pid, _, _ in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap()
        time.sleep(0.01)


def reap():
    """The children that have ended: (pid, status)."""
    found = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found.append((pid, status))


def start_watchdog(mark):
    """A process that ends all that bear the mark if this one dies without having done so."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(ours)
        return pid
    os.close(theirs)
    os.setsid()
    os.read(ours, 1)
    end_all(mark)
    os._exit(0)


def locks(path):
    """The lines of /proc/locks about a file."""
    info = os.stat(path)
    name = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
    with open("/proc/locks") as file:
        return [line.strip() for line in file if name in line.split()]


def named(name):
    """The living processes of a name."""
    found = [(int(entry), stat(entry)) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid, about in found if about and about[2] == name and about[0] not in "ZX"]


def arguments(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode().split("\0")[:-1]
    except OSError:
        return []


def locks_of(pid):
    """The open-file-description locks that a process has a share in, as /proc tells of each descriptor."""
    found = []
    try:
        for entry in os.listdir(f"/proc/{pid}/fdinfo"):
            with open(f"/proc/{pid}/fdinfo/{entry}") as file:
                found += [line.strip() for line in file if line.startswith("lock:") and "OFDLCK" in line and "->" not in line]
    except OSError:
        pass
    return found


def describe(pid):
    """What a process is and where it stands, for whoever looks for the cause."""
    about = stat(pid)
    if about is None:
        return f"{pid}: gone"
    def read(name):
        try:
            with open(f"/proc/{pid}/{name}") as file:
                return file.read().replace("\0", " ").strip()
        except OSError as error:
            return str(error)
    return f"{pid}: {about[2]}, state {about[0]}, child of {about[1]}, in {read('wchan')}: {read('cmdline')}"
