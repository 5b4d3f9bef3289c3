"""Damage to a queue file, done as another program would do it: without any lock."""

import os
import random

LINE = 512
# Notes, slots and waiters, as far as they matter; lines beyond the end of the file make it longer.
REGIONS = (range(2, 18), range(32, 37), range(1056, 1056 + 200))


def damage(path, kind, seed):
    """Returns whether both copies of the header may be gone."""
    dice = random.Random(seed)
    descriptor = os.open(path, os.O_RDWR)
    try:
        size = os.fstat(descriptor).st_size
        if kind == "emptied":
            os.ftruncate(descriptor, 0)
            return True
        if kind == "truncated":
            length = dice.choice((dice.randrange(0, 3 * LINE), dice.randrange(0, max(1, size))))
            os.ftruncate(descriptor, length)
            return length < 2 * LINE
        if kind == "header garbage":
            copies = dice.choice(((0,), (1,), (0, 1), (0, 1)))
            for copy in copies:
                length = dice.randrange(1, LINE + 1)
                os.pwrite(descriptor, dice.randbytes(length), copy * LINE + dice.randrange(0, LINE - length + 1))
            return len(copies) == 2
        if kind == "garbage":
            for _ in range(dice.randrange(1, 6)):
                line = dice.choice(dice.choice(REGIONS))
                os.pwrite(descriptor, dice.randbytes(LINE), line * LINE)
            return False
        # The start of one line over another, as a crash in a write leaves it.
        region = dice.choice(REGIONS + (range(0, 2),))
        source, target = dice.choice(region), dice.choice(region)
        os.pwrite(descriptor, os.pread(descriptor, dice.randrange(1, LINE), source * LINE), target * LINE)
        return target < 2
    finally:
        os.close(descriptor)
