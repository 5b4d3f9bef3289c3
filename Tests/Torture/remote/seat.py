"""Where jobs run: a test host, and the program on it that starts them."""

import os
import subprocess

PLACES = 10_000_000  # process numbers below


class Seat:
    def __init__(self, number, name, room, is_local=False):
        self.number, self.name, self.room, self.is_local = number, name, room, is_local
        self.init = None  # the host's process 1, while it is on
        self.root = None  # its file tree
        self.boots = 0
        self.running = {}  # job: pid of its semq as the host numbers it, None until that is known
        self.resting_until = 0  # ns: nobody is started before
        self.is_cut = False  # a fault of its network is in force
        self._program = None
        self._rest = b""

    @property
    def place(self):
        """Added to process numbers of this boot, so that no two are the same."""
        return (self.number * 1000 + self.boots) * PLACES

    @property
    def descriptor(self):
        return self._program.stdout.fileno() if self._program else None

    def sit_down(self, init, words, program):
        """After each boot. `words` enter the host."""
        self.init = init
        self.boots += 1
        self._program = subprocess.Popen([*words, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._rest = b""

    def stand_up(self):
        """The host is off, and all its processes are dead.

        Returns the jobs that were running.
        """
        gone = list(self.running)
        self.running.clear()
        self.init = None
        if self._program:
            self._program.stdin.close()
            self._program.stdout.close()
            self._program.wait()
            self._program = None
        return gone

    def start(self, job, file, words):
        self.running[job] = None
        self._program.stdin.write("\t".join([str(job), file, *words]).encode() + b"\n")
        self._program.stdin.flush()

    def receive(self):
        """What the program tells, once its descriptor is readable: (job, status of wait) of those that have ended."""
        chunk = os.read(self.descriptor, 1 << 16)
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        ended = []
        for line in lines:
            kind, job, number = line.split()
            job, number = int(job), int(number)
            if kind == b"S" and number:
                self.running[job] = number
            else:
                self.running.pop(job, None)
                ended.append((job, number if kind == b"E" else 127 << 8))
        return ended
