"""Who is at the board: the kernel's own answer, by the locks that its processes have there. See worker.c."""

import fcntl
import os
import struct
import time

KINDS = ("command", "child", "deaf", "behind", "daemon", "root", "closed")
SLOT_BITS, BYTES, EACH = 40, 64, 8
# The slots that are looked at: more than any concurrency that is set.
SLOTS = 8
_FLOCK = "@hhqqi4x"
PAUSE = 10_000_000  # ns between two looks


class Board:
    def __init__(self, folder):
        path = os.path.join(folder, "board")
        open(path, "wb").close()
        os.chmod(path, 0o666)
        self._descriptor = os.open(path, os.O_RDWR)
        self._looked = 0
        self.seen = {}  # job: {kind: ns, when one of that kind was alive for certain}
        # (job, kind, ns, other job, its kind): both alive then, in one slot.
        self.pairs = set()

    def look(self):
        now = time.monotonic_ns()
        if now < self._looked + PAUSE:
            return
        self._looked = now
        for slot in range(SLOTS):
            found = self._locked(slot << SLOT_BITS, (slot + 1) << SLOT_BITS)
            jobs = {}
            for place in found:
                job, kind = self.about(place)
                self.seen.setdefault(job, {})[kind] = now
                jobs.setdefault(job, []).append(place)
            if len(jobs) > 1:
                self._pair(found)

    def _pair(self, found):
        """The look is no snapshot: one that is still there when the other has been seen was there beside it."""
        for index, place in enumerate(found):
            job, kind = self.about(place)
            for later in found[index + 1 :]:
                other, its = self.about(later)
                if other == job:
                    continue
                moment = time.monotonic_ns()
                if self._locked(later, later + 1) and self._locked(place, place + 1) and self._locked(later, later + 1):
                    if not any(pair[:2] == (job, kind) and pair[3:] == (other, its) for pair in self.pairs):
                        self.pairs.add((job, kind, moment, other, its))

    @staticmethod
    def about(place):
        number = place & ((1 << SLOT_BITS) - 1)
        return number // BYTES, KINDS[number % BYTES // EACH]

    def _locked(self, start, end):
        """The locked bytes. The kernel names one at a time, in no order that could be relied upon."""
        if start >= end:
            return []
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, end - start, 0)
        kind, _, at, length, _ = struct.unpack(_FLOCK, fcntl.fcntl(self._descriptor, fcntl.F_GETLK, asked))
        if kind == fcntl.F_UNLCK:
            return []
        return self._locked(start, at) + [at] + self._locked(at + 1, end)

    def end(self):
        """Returns texts about those that are still there."""
        left = [self.about(place) for place in self._locked(0, SLOTS << SLOT_BITS)]
        os.close(self._descriptor)
        return [f"{kind} of job {job} is still at the board when all have ended" for job, kind in left]
