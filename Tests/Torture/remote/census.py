"""One look at the processes of all test hosts."""

import os
import sys
import time
from dataclasses import dataclass
from ipaddress import ip_address


@dataclass
class Process:
    pid: int  # as this side numbers it
    parent: int
    name: str
    state: str
    age: float  # s
    space: str  # of the process numbers of its host
    inner: int  # as its host numbers it

    def arguments(self):
        try:
            with open(f"/proc/{self.pid}/cmdline", "rb") as file:
                return file.read().decode(errors="replace").split("\0")[:-1]
        except OSError:
            return []

    def is_agent(self):
        return self.name == "semq" and self.arguments()[1:2] == ["agent"]

    def is_link(self):
        """Carries a connection: a program of the host's, or one of semq's own."""
        return self.name == "ssh" or self.name in ("exe", "semq") and self.arguments()[1:2] == ["link"]

    def variable(self, name):
        """Of the environment that it was started with."""
        try:
            with open(f"/proc/{self.pid}/environ", "rb") as file:
                lines = file.read().decode(errors="replace").split("\0")
        except OSError:
            return None
        return next((line.split("=", 1)[1] for line in lines if line.startswith(f"{name}=")), None)

    def connections(self):
        """((address, port), (address, port)), its own end first, of the TCP connections that it has a share in."""
        try:
            links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{self.pid}/fd")]
            sockets = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
            rows = []
            for name in ("tcp", "tcp6"):
                with open(f"/proc/{self.pid}/net/{name}") as file:
                    rows += [line.split() for line in file][1:]
        except OSError:
            return []
        return [(_end(words[1]), _end(words[2])) for words in rows if words[9] in sockets]

    def has_open(self, name):
        """Whether it has a file of that name open."""
        try:
            for entry in os.scandir(f"/proc/{self.pid}/fd"):
                if os.readlink(entry.path).endswith(f"/{name}"):
                    return True
        except OSError:
            pass
        return False

    def locks(self):
        """First bytes of the open-file-description locks for writing that it has a share in."""
        found = []
        try:
            for entry in os.scandir(f"/proc/{self.pid}/fdinfo"):
                with open(entry.path) as file:
                    lines = [line.split() for line in file if line.startswith("lock:")]
                found += [int(words[7]) for words in lines if words[2] == "OFDLCK" and words[4] == "WRITE"]
        except OSError:
            pass
        return found


def _end(text):
    """As /proc/net/tcp writes it: the address in words of the machine's order of bytes."""
    address, port = text.split(":")
    words = [address[i : i + 8] for i in range(0, len(address), 8)]
    return str(ip_address(b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words))), int(port, 16)


class Census:
    def __init__(self):
        """Zombies and the processes of this machine itself are left out."""
        ours = os.readlink("/proc/self/ns/pid")
        uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
        ticks = os.sysconf("SC_CLK_TCK")
        self.all = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                space = os.readlink(f"/proc/{entry}/ns/pid")
                if space == ours:
                    continue
                with open(f"/proc/{entry}/stat", "rb", buffering=0) as file:
                    text = file.read().decode(errors="replace")
                with open(f"/proc/{entry}/status") as file:
                    inner = next(int(line.split()[-1]) for line in file if line.startswith("NSpid:"))
            except (OSError, StopIteration):
                continue
            start, end = text.index("("), text.rindex(")")
            fields = text[end + 2 :].split()
            if fields[0] in "ZX":
                continue
            pid, age = int(entry), uptime - int(fields[19]) / ticks
            self.all[pid] = Process(pid, int(fields[1]), text[start + 1 : end], fields[0], age, space, inner)

    def on(self, init):
        """Those of the host whose process 1 this is, that one aside."""
        if init not in self.all:
            return []
        space = self.all[init].space
        return [each for each in self.all.values() if each.space == space and each.pid != init]

    def find(self, init, inner):
        """A process by its host's number."""
        return next((each for each in self.on(init) if each.inner == inner), None)

    def ancestor(self, process, name):
        """The nearest process above whose name begins so."""
        while process := self.all.get(process.parent):
            if process.name.startswith(name):
                return process
        return None
