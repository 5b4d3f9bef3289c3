"""One host: processes that keep its namespaces, and the one that is its process 1 from boot to boot.

    lab ── keeper (network, mounts, host name: what outlives a reboot)
             └─ starter (one for each boot: a process makes a pid namespace for its children only once)
                  └─ init (process 1: reaps)

Each is killed with its parent. So nothing is left when the lab ends, however it ends.
"""

import json
import os
import signal
import socket
import traceback
import uuid

import kernel
import tree


class Keeper:
    """The lab's side: a forked keeper and what is asked of it."""

    def __init__(self, spec):
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _child(lambda: _keep(theirs, spec))
        theirs.close()
        self._channel = ours.makefile("rw")
        ours.close()
        self.users = self._answer()["users"]

    def ask(self, **request):
        print(json.dumps(request), file=self._channel, flush=True)
        return self._answer()

    def _answer(self):
        line = self._channel.readline()
        if not line:
            raise RuntimeError("the keeper of the host ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        self._channel.close()
        os.waitpid(self.pid, 0)


def _child(body):
    try:
        kernel.die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        body()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _keep(channel, spec):
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    # Whatever else the lab has open stays the lab's.
    os.closerange(3, channel.fileno())
    os.closerange(channel.fileno() + 1, 1024)
    kernel.name_process("semq-keeper")
    stream = channel.makefile("rw")

    def say(**answer):
        print(json.dumps(answer), file=stream, flush=True)

    try:
        kernel.unshare(kernel.NEWNET | kernel.NEWNS | kernel.NEWUTS | kernel.NEWIPC)
        kernel.name_host(spec["name"])
        tree.enter(spec)
        say(users=spec["users"])
    except (OSError, ValueError, KeyError) as error:
        say(error=f"the host {spec['name']} can't be made: {error}")
        return
    boot = None
    for line in stream:
        request = json.loads(line)
        try:
            if request["do"] == "boot":
                boot = _Boot(channel, request)
                say(init=boot.init)
            elif request["do"] == "kill":
                if boot:
                    boot.kill()
                    boot = None
                say()
        except (OSError, RuntimeError) as error:
            say(error=str(error))


class _Boot:
    def __init__(self, channel, request):
        reading, writing = os.pipe()
        self.starter = os.fork()
        if self.starter == 0:
            os.close(reading)
            channel.close()
            _child(lambda: _start(writing, request))
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        if not said.isdigit():
            os.waitpid(self.starter, 0)
            raise RuntimeError(f"the host does not boot: {said}")
        self.init = int(said)

    def kill(self):
        """All processes of the host are gone when this returns."""
        try:
            os.kill(self.init, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.starter, 0)


def _start(pipe, request):
    kernel.name_process("semq-starter")
    try:
        offsets = _offsets(request)
        kernel.unshare(kernel.NEWPID | (kernel.NEWTIME if offsets else 0))
        if offsets:
            with open("/proc/self/timens_offsets", "w") as file:
                file.write(offsets)
        # The pipe is for init to close when all is ready: then the keeper has read the pid.
        init = os.fork()
        if init == 0:
            _child(lambda: _init(pipe))
        os.write(pipe, str(init).encode())
    except OSError as error:
        os.write(pipe, str(error).encode())
        return
    os.close(pipe)
    os.waitpid(init, 0)


def _offsets(request):
    """By how much the clocks that count from the boot are ahead of the machine's, in seconds."""
    boottime, monotonic = request.get("boottime", 0), request.get("monotonic", 0)
    if request.get("uptime") is not None:
        with open("/proc/uptime") as file:
            boottime = monotonic = request["uptime"] - float(file.read().split()[0])
    if not boottime and not monotonic:
        return ""
    return f"monotonic {int(monotonic)} 0\nboottime {int(boottime)} 0\n"


def _init(pipe):
    kernel.unshare(kernel.NEWNS)
    kernel.name_process("init")
    kernel.mount("proc", "/proc", "proc")
    with open("/run/boot_id", "w") as file:
        file.write(f"{uuid.uuid4()}\n")
    kernel.mount("/run/boot_id", "/proc/sys/kernel/random/boot_id", None, kernel.BIND)
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGCHLD})
    os.close(pipe)
    os.closerange(3, 1024)
    while True:
        signal.sigwait({signal.SIGCHLD})
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
