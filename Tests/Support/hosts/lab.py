"""A lab: hosts on a network of their own, and what can be done to them.

Everything is in namespaces that only the lab's processes keep, and all of these die with the lab: the kernel cleans up.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time

import kernel
import network
import ssh
import tree
from machine import Keeper
from proxy import Proxy, check_rule

_HOST = {
    "ssh": True,  # sshd runs
    "bare": True,  # no semq, no libssh2, no checkout
    "see": [],  # paths of this machine that are there nevertheless
    "users": [],  # {"name", "shell", "authorized_keys", "files": {path below home: text}}; root and lab are there anyway
    "boot": {},  # {"uptime"} or {"boottime", "monotonic"}: seconds
    "clock": False,  # it has a wall clock of its own, see clock.c
    "packages": [],  # files of Debian packages that are unpacked there
    "sshd": {},  # {"server": "openssh" | "dropbear", "port", "host_keys", "config": lines; options of dropbear}
}
_SSHD = {"server": "openssh", "port": 22, "host_keys": ["ed25519", "ecdsa"], "config": []}
_CLIENT = {"ssh": False, "bare": False}
_CLOCK, _AHEAD = "/usr/local/sbin/test-clock", "/run/clock"
# dpkg-deb -x would put a folder in the place of /lib, which is a symbolic link.
_UNPACK = 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --keep-directory-symlink'
_SERVERS = ("sshd", "dropbear")
_SIGNALS = {name[3:]: number for name, number in signal.Signals.__members__.items()}


class Refusal(Exception):
    """What was asked for can't be done; the sentence says why."""


class Host:
    def __init__(self, spec, keeper, addresses, port):
        self.spec, self.keeper, self.addresses, self.port = spec, keeper, addresses, port
        self.name = spec["name"]
        self.public = []
        self.init = None
        self.faults = []
        # Lines of known_hosts that its users were given; what a test then does to the file stays.
        self.known = set()

    @property
    def root(self):
        """Its file tree, seen from outside; the same from boot to boot."""
        return f"/proc/{self.keeper.pid}/root"

    def words(self, user):
        """What a command is put behind so that it runs on this host."""
        if self.init is None:
            raise Refusal(f"{self.name} is off")
        about = self.user(user)
        become = [] if about["uid"] == 0 else ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"]
        variables = [f"{key}={value}" for key, value in tree.environment(about).items()]
        clock = [_CLOCK, _AHEAD] if self.spec["clock"] else []
        return ["nsenter", "-t", str(self.init), "-a", *become, "env", "-i", "-C", about["home"], *variables, *clock]

    def user(self, name):
        for user in self.spec["users"]:
            if user["name"] == name:
                return user
        raise Refusal(f"{self.name} has no user {name}")

    def processes(self):
        """Those of this boot, init aside, with their numbers as the machine has them and as the host has them."""
        if self.init is None:
            return []
        space = os.readlink(f"/proc/{self.init}/ns/pid")
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == self.init:
                continue
            try:
                if os.readlink(f"/proc/{entry}/ns/pid") == space:
                    found.append(_process(int(entry)))
            except OSError:
                pass
        # Oldest first: the numbers of the machine begin again where they have come to their end.
        return sorted(found, key=lambda each: each["inner"])

    def strike(self):
        """Kills all processes; they may live on for a moment."""
        if self.init is not None:
            os.kill(self.init, signal.SIGKILL)

    def is_listener(self, process):
        return process["parent"] == self.init and process["name"].startswith(_SERVERS)


def _process(pid):
    with open(f"/proc/{pid}/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = [word.decode(errors="replace") for word in file.read().rstrip(b"\0").split(b"\0")]
    return {
        "pid": pid,
        "inner": int(status["NSpid"].split()[-1]),
        "parent": int(status["PPid"]),
        "uid": int(status["Uid"].split()[0]),
        "state": status["State"][0],
        "name": status["Name"],
        "words": words,
    }


class Lab:
    def __init__(self):
        kernel.unshare(kernel.NEWNS)
        tree.scratch()
        self.network = network.Network()
        self.hosts, self.proxies = {}, {}
        self._keys = ssh.Keys(f"{tree.PLACE}/keys")
        self._secret, self._public = self._keys.pair("client", "ed25519")
        self.home = f"/proc/{os.getpid()}/root{tree.PLACE}/outside"
        os.mkdir(f"{tree.PLACE}/output", 0o700)
        ssh.client_files(self._local(self.home), self._secret, self._public)
        ssh.programs(f"{tree.PLACE}/outside/bin", f"{self.home}/.ssh/config")
        self._describe()

    def _local(self, path):
        return path.removeprefix(f"/proc/{os.getpid()}/root")

    def handle(self, request):
        """Does what a request asks; returns the answer."""
        arguments = dict(request)
        name = arguments.pop("do", None)
        method = getattr(self, f"do_{name}", None)
        if method is None:
            return {"error": f"there is no operation {name}"}
        try:
            return method(**arguments) or {}
        except Refusal as error:
            return {"error": str(error)}
        except (RuntimeError, OSError, KeyError, TypeError, ValueError, subprocess.SubprocessError) as error:
            return {"error": f"{name}: {error!r}" if isinstance(error, KeyError) else f"{name}: {error}"}

    def _host(self, name):
        if name not in self.hosts:
            raise Refusal(f"there is no host {name}")
        return self.hosts[name]

    # what there is

    def do_lab(self):
        """About the lab itself, and the client files for processes outside it."""
        return {
            "pid": os.getpid(),
            "address": self.network.outside[0],
            "address6": self.network.outside[1],
            "home": self.home,
            "config": f"{self.home}/.ssh/config",
            "bin": f"{self.home}/bin",
            "output": f"/proc/{os.getpid()}/root{tree.PLACE}/output",
            "hosts": list(self.hosts),
            "proxies": list(self.proxies),
        }

    def do_about(self, name):
        host = self._host(name)
        return {
            "name": name,
            "address": host.addresses[0],
            "address6": host.addresses[1],
            "root": host.root,
            "init": host.init,
            "users": [{key: user[key] for key in ("name", "uid", "home", "shell")} for user in host.spec["users"]],
        }

    def do_processes(self, name):
        return {"processes": self._host(name).processes()}

    def do_words(self, name, user="root"):
        return {"words": self._host(name).words(user)}

    # to be and not to be

    def do_create(self, name, client=False, **given):
        self._free(name)
        unknown = set(given) - set(_HOST)
        if unknown:
            raise Refusal(f"a host has no {', '.join(sorted(unknown))}")
        spec = {"name": name, **_HOST, **(_CLIENT if client else {}), **given}
        spec["sshd"] = {**_SSHD, **spec["sshd"]}
        spec["users"] = self._users(spec["users"])
        keeper = Keeper(spec)
        try:
            spec["users"] = keeper.users
            addresses = self.network.draw()
            host = Host(spec, keeper, addresses, self.network.plug(keeper.pid, addresses))
            for package in spec["packages"]:
                network.run(["/bin/sh", "-c", _UNPACK, "sh", package, host.root])
            if spec["clock"]:
                shutil.copy(self._clock(), host.root + _CLOCK)
                _write(host.root + _AHEAD, "0\n")
            for user in spec["users"]:
                self._give_key(host, user)
            if spec["ssh"]:
                files, host.public = ssh.server_files(self._keys, name, spec["sshd"])
                for path, text in files.items():
                    _write(host.root + path, text)
            self.hosts[name] = host
            self._describe()
            self._boot(host, spec["boot"])
        except BaseException:
            self.hosts.pop(name, None)
            keeper.end()
            self._describe()
            raise
        return self.do_about(name)

    def _clock(self):
        program = f"{tree.PLACE}/clock"
        if not os.path.exists(program):
            source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clock.c")
            network.run(["cc", "-O1", "-pthread", "-o", program, source])
        return program

    def do_clock(self, name, ahead):
        """Sets the wall clock of a host that has one of its own: so many seconds ahead of the machine's."""
        host = self._host(name)
        if not host.spec["clock"]:
            raise Refusal(f"{name} was not made with a clock of its own")
        # In place: the file is open.
        with open(host.root + _AHEAD, "w") as file:
            file.write(f"{int(ahead)}\n")

    def _free(self, name):
        if name in self.hosts or name in self.proxies or name in ("localhost", "outside", ""):
            raise Refusal(f"there is a host {name} already")

    def _users(self, given):
        users = {name: {"name": name} for name in ("root", "lab")}
        users.update({user["name"]: user for user in given})
        for user in users.values():
            keys = user.get("authorized_keys")
            files = {".ssh/authorized_keys": f"{self._public}\n" if keys is None else keys, **user.get("files", {})}
            user.update(shell=user.get("shell", "/bin/bash"), files=files)
        return list(users.values())

    def _give_key(self, host, user):
        home = host.root + user["home"]
        if not host.spec["ssh"]:
            ssh.client_files(home, self._secret, self._public)
            for name in os.listdir(f"{home}/.ssh"):
                os.chown(f"{home}/.ssh/{name}", user["uid"], user["uid"])

    def do_destroy(self, name):
        if name in self.proxies:
            self.proxies.pop(name)[1].end()
            self._describe()
            return
        host = self._host(name)
        self._kill(host)
        del self.hosts[name]
        host.keeper.end()
        self._describe()

    def end(self):
        for _, proxy in self.proxies.values():
            proxy.end()
        # All of them first: to end is mostly to wait for the kernel.
        for host in self.hosts.values():
            host.strike()
        for host in self.hosts.values():
            self._kill(host)
            host.keeper.end()
        self.network.end()

    def _describe(self):
        """Tells all clients the names, addresses and keys of all hosts."""
        servers = [host for host in self.hosts.values() if host.public]
        known, config = [], []
        for host in servers:
            port = host.spec["sshd"]["port"]
            known += ssh.known_hosts_lines((host.name, f"{host.name}-6", *host.addresses), port, host.public)
            ways = [(host.name, host.addresses[0]), (f"{host.name}-6", host.addresses[1])]
            for name, (target, proxy) in self.proxies.items():
                if target is host:
                    known += ssh.known_hosts_lines((name, proxy.address), port, host.public)
                    ways.append((name, proxy.address))
            config += [f"Host {name}\n    HostName {address}\n    Port {port}\n" for name, address in ways]
        text = "".join(f"{line}\n" for line in known)
        home = self._local(self.home)
        _write(f"{home}/.ssh/known_hosts", text, 0o600)
        _write(f"{home}/.ssh/config", "".join(config) + ssh.outside_defaults(self.home), 0o600)
        names = ["127.0.0.1 localhost", "::1 localhost", f"{self.network.outside[0]} outside"]
        for host in self.hosts.values():
            names += [f"{host.addresses[0]} {host.name}", f"{host.addresses[1]} {host.name}-6"]
        names += [f"{proxy.address} {name}" for name, (_, proxy) in self.proxies.items()]
        every = [(host.name, host) for host in servers] + [(name, host) for name, (host, _) in self.proxies.items()]
        odd = [(name, host.spec["sshd"]["port"]) for name, host in every if host.spec["sshd"]["port"] != 22]
        ports = "".join(f"Host {name}\n    Port {port}\n" for name, port in odd)
        for host in self.hosts.values():
            _write(f"{host.root}/etc/hosts", "".join(f"{line}\n" for line in names))
            if not host.spec["ssh"]:
                _write(f"{host.root}/etc/ssh/ssh_config.d/semq.conf", ports)
                more = [line for line in known if line not in host.known]
                host.known.update(more)
                for user in host.spec["users"]:
                    with open(f"{host.root}{user['home']}/.ssh/known_hosts", "a") as file:
                        file.writelines(f"{line}\n" for line in more)

    # power

    def _boot(self, host, how):
        host.init = host.keeper.ask(do="boot", **how)["init"]
        if host.spec["ssh"]:
            self._start_sshd(host)

    def _kill(self, host):
        if host.init is not None:
            host.init = None
            host.keeper.ask(do="kill")

    def do_off(self, name):
        """Pulls the plug: all processes are dead, the files stay, and nobody on the network is told."""
        host = self._host(name)
        network.filter_packets(host.keeper.pid, [*host.faults, _everything()])
        self._kill(host)
        # The kernel would go on to say goodbye for the dead; a host without power has forgotten its connections.
        self._forget_connections(host)

    def do_boot(self, name, **how):
        host = self._host(name)
        if host.init is not None:
            raise Refusal(f"{name} is on already")
        self._boot(host, how or host.spec["boot"])
        network.filter_packets(host.keeper.pid, host.faults)
        return self.do_about(name)

    def do_reboot(self, name, **how):
        self.do_off(name)
        return self.do_boot(name, **how)

    # sshd

    def _start_sshd(self, host):
        for words in ssh.start(host.spec["sshd"]):
            network.run([*host.words("root"), *words])
        listening = f":{host.spec['sshd']['port']:04X} 00000000:0000 0A"
        end = time.monotonic() + 10
        while listening not in _read(f"/proc/{host.init}/net/tcp"):
            if time.monotonic() > end:
                raise RuntimeError(f"sshd on {host.name} does not listen: {_read(host.root + ssh.LOG)}")
            time.sleep(0.002)

    def do_sshd(self, name, action, config=None):
        """Starts or stops the listener; sessions that run go on. `config` replaces the extra lines."""
        host = self._host(name)
        if action in ("stop", "restart"):
            for each in host.processes():
                if host.is_listener(each):
                    # A child that was about to become another program has ended meanwhile.
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(each["pid"], signal.SIGKILL)
                    _until(lambda pid=each["pid"]: not _lives(pid))
        if config is not None:
            host.spec["sshd"]["config"] = config
            files, _ = ssh.server_files(self._keys, name, host.spec["sshd"])
            for path, text in files.items():
                _write(host.root + path, text)
        if action in ("start", "restart"):
            self._start_sshd(host)

    def do_signal(self, name, signal, who="sessions"):
        """Signals sshd's processes for sessions, its listener, or all processes of the host. Returns whom."""
        if signal not in _SIGNALS:
            raise Refusal(f"there is no signal {signal}")
        host = self._host(name)
        chosen = {
            "sessions": lambda each: each["name"].startswith(_SERVERS) and not host.is_listener(each),
            "listener": host.is_listener,
            "all": lambda each: True,
        }
        if who not in chosen:
            raise Refusal(f"signals go to {', '.join(chosen)}, not to {who}")
        pids = [each["pid"] for each in host.processes() if chosen[who](each)]
        for pid in pids:
            try:
                os.kill(pid, _SIGNALS[signal])
            except ProcessLookupError:
                pass
        return {"pids": pids}

    # faults of the network

    def do_drop(self, name, peer=None, direction="both"):
        """Packets vanish."""
        self._fault(name, "drop", peer, direction)

    def do_reject(self, name, peer=None, direction="both"):
        """Packets are answered with a TCP reset."""
        self._fault(name, "reject", peer, direction)

    def _fault(self, name, action, peer, direction):
        if direction not in ("in", "out", "both"):
            raise Refusal(f"a direction is in, out or both, not {direction}")
        host = self._host(name)
        host.faults.append({"action": action, "peers": self._peers(peer), "direction": direction})
        network.filter_packets(host.keeper.pid, host.faults)

    def _peers(self, peer):
        if peer is None:
            return None
        if peer == "outside":
            return list(self.network.outside)
        return list(self._host(peer).addresses)

    def do_heal(self, name, peer=None):
        """Takes back all faults of the network, or those towards one peer; the cable is in again."""
        host = self._host(name)
        gone = self._peers(peer)
        host.faults = [] if peer is None else [each for each in host.faults if each["peers"] != gone]
        network.filter_packets(host.keeper.pid, host.faults)
        if peer is None:
            self.network.switch(host.port, True)

    def do_unplug(self, name):
        """Pulls the cable: the link is down on the host's side too."""
        self.network.switch(self._host(name).port, False)

    def do_reset(self, name, peer=None):
        """Resets the TCP connections of a host, at both ends at once."""
        self._forget_connections(self._host(name), self._peers(peer))

    def _forget_connections(self, host, peers=None):
        words = ["nsenter", f"--net=/proc/{host.keeper.pid}/ns/net", "ss", "-K", "-tnH", "state", "connected"]
        for target in [None] if peers is None else peers:
            network.run(words + (["dst", f"[{target}]" if ":" in target else target] if target else []))


    # faults at an exact byte

    def do_proxy(self, name, to, delay=0):
        """Makes a second way to a host, under a name and an address of its own; see proxy.py.

        `delay` seconds pass before anything does, in each direction.
        """
        self._free(name)
        host = self._host(to)
        if not host.public:
            raise Refusal(f"{to} has no sshd")
        address = self.network.draw()[0]
        self.network.add(address)
        port = host.spec["sshd"]["port"]
        self.proxies[name] = host, Proxy(address, port, (host.addresses[0], port), delay)
        self._describe()
        return {"name": name, "address": address}

    def do_rules(self, name, rules):
        """What the proxy does to connections that come from now on; replaces the rules before."""
        for rule in rules:
            if complaint := check_rule(rule):
                raise Refusal(complaint)
        self._proxy(name).ask(do="rule", rules=rules)

    def do_act(self, name, action, connection=None, direction="down", **details):
        """Does something to a proxy's connections now."""
        return self._proxy(name).ask(do=action, connection=connection, direction=direction, **details)

    def do_report(self, name):
        """What has passed through a proxy, connection by connection."""
        return self._proxy(name).ask(do="report")

    def _proxy(self, name):
        if name not in self.proxies:
            raise Refusal(f"there is no proxy {name}")
        return self.proxies[name][1]


def _everything():
    return {"action": "drop", "peers": None, "direction": "both"}


def _lives(pid):
    try:
        return _process(pid)["state"] not in "ZX"
    except OSError:
        return False


def _until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("it did not happen in time")
        time.sleep(0.002)


def _read(path):
    with open(path) as file:
        return file.read()


def _write(path, text, mode=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(text)
    if mode is None:
        mode = 0o600 if "/semq_host_" in path else 0o644
    os.chmod(path, mode)


def obstacle():
    """Why there can be no lab on this machine; None if there can."""
    if os.geteuid() != 0:
        return "test hosts want root, and this is not root"
    missing = [
        f"{program} (Debian package {package})"
        for program, package in _PROGRAMS.items()
        if subprocess.run(["/bin/sh", "-c", f"command -v {program}"], stdout=subprocess.DEVNULL).returncode != 0
    ]
    if missing:
        return f"there is no {', '.join(missing)}"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            kernel.unshare(kernel.NEWNET | kernel.NEWNS | kernel.NEWUTS | kernel.NEWIPC)
            tree.scratch()
            tree.overlay()
            network.run(["ip", "link", "add", "switch", "type", "bridge"])
            network.run(["ip", "link", "add", "one", "type", "veth", "peer", "name", "other"])
            network.filter_packets(os.getpid(), [_everything()])
            kernel.unshare(kernel.NEWPID)
        except (OSError, RuntimeError) as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return f"this machine does not let root make namespaces, mounts and networks: {said}" if said else None


_PROGRAMS = {
    "ip": "iproute2", "iptables-restore": "iptables", "nsenter": "util-linux", "setpriv": "util-linux",
    "sshd": "openssh-server", "ssh": "openssh-client", "ss": "iproute2",
}  # fmt: skip
