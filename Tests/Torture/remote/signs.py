"""Signs of life that workers leave in memory that all hosts share; see worker.c."""

import mmap
import os

MOST_JOBS, SIZE = 1 << 18, 32


class Signs:
    def __init__(self, path):
        with open(path, "w+b") as file:
            file.truncate(MOST_JOBS * SIZE)
            self._memory = mmap.mmap(file.fileno(), MOST_JOBS * SIZE)
        os.chmod(path, 0o666)

    def last(self, job):
        """The last sign of life of any of its processes, ns; 0 if there was none."""
        at = job * SIZE
        return max(int.from_bytes(self._memory[at + i : at + i + 8], "little") for i in (0, 8))

    def forsake(self, job):
        """Its command changes nothing any more."""
        at = job * SIZE + 24
        self._memory[at : at + 8] = (1).to_bytes(8, "little")

    def stay(self, job, moment):
        """Its command stays inside until then, ns, unless it is ended."""
        at = job * SIZE + 16
        self._memory[at : at + 8] = moment.to_bytes(8, "little")
