"""A lab for a Python program: `host serve`, driven through its standard input and output.

    with served.Lab() as lab:
        lab.ask("create", name="bench1")
        lab.ask("create", name="client1", client=True)
        lab.run("client1", ["ssh", "bench1", "true"], check=True)
"""

import json
import os
import subprocess
import threading

_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "host")


class Refusal(Exception):
    """What a lab doesn't do; the sentence says why."""


class Lab:
    def __init__(self):
        self._server = subprocess.Popen([_PROGRAM, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()
        line = self._server.stdout.readline()
        if not line:
            raise Refusal("there can be no lab here")
        # pid, address, home, config, bin: see do_lab.
        self.about = json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """All is gone when this returns."""
        self._server.stdin.close()
        self._server.wait()

    def ask(self, operation, **values):
        """Does an operation of `lab.Lab`: create, drop, heal …; returns its answer."""
        with self._lock:
            print(json.dumps({"do": operation, **values}), file=self._server.stdin, flush=True)
            line = self._server.stdout.readline()
        answer = json.loads(line) if line else {"error": "the lab ended"}
        if "error" in answer:
            raise Refusal(answer["error"])
        return answer

    def words(self, host, command, user="root"):
        """A command that runs another on a host: its child is that other one, and it ends as that does."""
        return self.ask("words", name=host, user=user)["words"] + command

    def start(self, host, command, user="root", **options):
        return subprocess.Popen(self.words(host, command, user), **options)

    def run(self, host, command, user="root", **options):
        return subprocess.run(self.words(host, command, user), **options)


def child(process):
    """The process on the host, as this machine numbers it, behind one that `start` returned; None once it is gone."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        numbers = file.read().split()
    return int(numbers[0]) if numbers else None
