"""Notices when the machine has so much else to do that it lets nobody run: what comes too late then is nobody's fault.

As a program: says on standard output when it was woken late, as `FROM TO` in ns, until its standard input ends.
"""

import os
import select
import subprocess
import sys
import time

PAUSE, LATE = 0.02, 0.1  # s


class Stalls:
    def __init__(self):
        words = [sys.executable, "-ES", __file__]
        self._program = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.set_blocking(self._program.stdout.fileno(), False)
        self._rest = b""

    def take(self):
        """[(from, to)] since the last call."""
        try:
            chunk = os.read(self._program.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return []
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        return [tuple(map(int, line.split())) for line in lines]

    def end(self):
        self._program.stdin.close()
        self._program.wait()
        self._program.stdout.close()


def main():
    while True:
        before = time.monotonic_ns()
        if select.select([0], [], [], PAUSE)[0]:
            return
        now = time.monotonic_ns()
        if now - before > (PAUSE + LATE) * 1e9:
            os.write(1, f"{before} {now}\n".encode())


if __name__ == "__main__":
    main()
