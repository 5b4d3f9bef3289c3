"""The network of a lab: a switch in a namespace of its own, a cable to each host, and one to the world outside."""

import ipaddress
import json
import os
import subprocess

import kernel


class Network:
    """Made in this process's network namespace, which it changes: what was before is `outside`."""

    def __init__(self):
        self._outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        number = _free_number(self._taken())
        self._four = ipaddress.ip_network((10 << 24 | number << 8, 24))
        self._six = ipaddress.ip_network((0xFD5E << 112 | number << 64, 64))
        self._last = 1
        self._cable = f"semq{os.getpid()}"
        kernel.unshare(kernel.NEWNET)
        four, six = self.pair(254)
        _ip(
            # Without an address of its own it takes one from its ports, another one with each that is added,
            # and whoever has spoken with it before sends into the void.
            "link add switch address 02:00:00:00:00:01 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            f"addr add {four}/24 dev switch",
            f"addr add {six}/64 dev switch nodad",
            "link set lo up",
            "link set switch up",
            f"link add outside type veth peer name {self._cable} netns {self._path}",
            "link set outside master switch up",
        )
        self.outside = self.pair(1)
        _ip(*self._up(self._cable, self.outside), prefix=self._there)

    @property
    def _path(self):
        return f"/proc/{os.getpid()}/fd/{self._outside}"

    @property
    def _there(self):
        return ["nsenter", f"--net={self._path}"]

    def _taken(self):
        """The networks that this machine has a way to, its default route aside."""
        said = subprocess.run(["ip", "-4", "-j", "route", "show"], stdout=subprocess.PIPE, check=True).stdout
        names = [route["dst"] for route in json.loads(said or "[]")]
        return [ipaddress.ip_network(name) for name in names if name != "default"]

    def pair(self, number):
        """An address, and the same in IPv6."""
        return str(self._four[number]), str(self._six[number])

    def draw(self):
        """A pair of addresses that nobody has yet."""
        self._last += 1
        if self._last > 253:
            raise RuntimeError("the network of the lab is full: it has 252 addresses")
        return self.pair(self._last)

    def add(self, address):
        """An address for a process of the lab itself."""
        _ip(f"addr add {address}/24 dev switch")

    def plug(self, pid, addresses):
        """Lays a cable from the switch to the network namespace of a process."""
        port = f"port{addresses[0].rsplit('.', 1)[1]}"
        _ip(f"link add {port} type veth peer name eth0 netns {pid}", f"link set {port} master switch up")
        _ip("link set lo up", *self._up("eth0", addresses), prefix=["nsenter", f"--net=/proc/{pid}/ns/net"])
        return port

    def _up(self, cable, addresses):
        four, six = addresses
        return (
            f"addr add {four}/24 dev {cable}",
            f"addr add {six}/64 dev {cable} nodad",
            f"link set {cable} up",
        )

    def switch(self, port, up):
        """Pulls a cable from the switch, or puts it back."""
        _ip(f"link set {port} {'up' if up else 'down'}")

    def end(self):
        # It would go with the namespace too, but some time later.
        subprocess.run([*self._there, "ip", "link", "del", self._cable], stderr=subprocess.DEVNULL)


def _free_number(taken):
    """16 bits for the network's address: another one for each process that runs at the same time."""
    for attempt in range(256):
        number = 128 << 8 | (os.getpid() + attempt * 127) & 0x7FFF
        network = ipaddress.ip_network((10 << 24 | number << 8, 24))
        if not any(network.overlaps(each) for each in taken):
            return number
    raise RuntimeError("all of 10.128.0.0/9 is taken by networks of this machine")


def _ip(*lines, prefix=()):
    run([*prefix, "ip", "-batch", "-"], "\n".join(lines) + "\n")


def run(words, text=None):
    """Runs a program to its end; a failure is an error that has what it said."""
    done = subprocess.run(words, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} failed: {done.stdout.strip()}")
    return done.stdout


def filter_packets(pid, faults):
    """Sets the packet filter of a host's network namespace; loopback is left alone.

    A fault is {"action": "drop" | "reject", "peers": addresses or None for all, "direction": "in" | "out" | "both"}.
    """
    running = []
    for program, family in (("iptables-restore", 4), ("ip6tables-restore", 6)):
        text = "".join(f"{line}\n" for line in ["*filter", ":INPUT ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *_rules(faults, family), "COMMIT"])
        words = ["nsenter", f"--net=/proc/{pid}/ns/net", program, "-w"]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        process.stdin.write(text.encode())
        process.stdin.close()
        running.append((process, program))
    for process, program in running:
        said = process.stdout.read().decode().strip()
        if process.wait() != 0:
            raise RuntimeError(f"{program} failed: {said}")


def _rules(faults, family):
    for fault in faults:
        # A reset that answers what came in goes out through the same filter, and may not be held up there.
        rejects = fault["action"] == "reject"
        target = "REJECT --reject-with tcp-reset" if rejects else "DROP"
        protocol = "-p tcp ! --tcp-flags RST RST " if rejects else ""
        peers = fault["peers"]
        mine = [None] if peers is None else [each for each in peers if (":" in each) == (family == 6)]
        for peer in mine:
            if fault["direction"] in ("in", "both"):
                yield f"-A INPUT ! -i lo {protocol}{f'-s {peer} ' if peer else ''}-j {target}"
            if fault["direction"] in ("out", "both"):
                yield f"-A OUTPUT ! -o lo {protocol}{f'-d {peer} ' if peer else ''}-j {target}"
