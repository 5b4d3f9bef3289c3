"""Asks Tests/Support/hosts for test hosts, and for what is done to them."""

import json
import os
import subprocess
from collections import deque

TESTS = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
HOST = os.path.join(TESTS, "Support", "hosts", "host")


class LabError(Exception):
    pass


def obstacle():
    """Why there can be no test hosts on this machine; empty if there can."""
    return subprocess.run([HOST, "check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.strip()


class Lab:
    """Gone, with all its hosts, when this process is."""

    def __init__(self):
        self._server = subprocess.Popen([HOST, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._asked = deque()  # what to do with the answers to come, in their order
        self._rest = b""
        if not self._server.stdout.readline():
            raise LabError("the lab did not start")

    @property
    def descriptor(self):
        return self._server.stdout.fileno()

    def post(self, done, **request):
        """Asks, and lets `done` take the answer when it has come."""
        self._asked.append((request, done))
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()

    def ask(self, **request):
        """Asks, and waits for the answer."""
        answers = []
        self.post(answers.append, **request)
        while not answers:
            self.receive()
        return answers[0]

    def receive(self):
        """Takes in answers, once the descriptor is readable."""
        chunk = os.read(self.descriptor, 1 << 16)
        if not chunk:
            raise LabError("the lab has ended")
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            answer = json.loads(line)
            request, done = self._asked.popleft()
            if "error" in answer:
                raise LabError(f"{request}: {answer['error']}")
            done(answer)

    def settle(self):
        """Until all that was asked for is done."""
        while self._asked:
            self.receive()

    def end(self):
        self._server.stdin.close()
        self._server.wait()
