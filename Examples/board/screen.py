"""What the demos show on: colours, and a block of lines that is redrawn."""
import os
import shutil
import sys
import time

TERMINAL = sys.stdout.isatty()
COLOUR = TERMINAL and not os.environ.get("NO_COLOR")


def styled(text, *codes):
    return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if COLOUR else text


def bold(text): return styled(text, "1")
def dim(text): return styled(text, "2")
def red(text): return styled(text, "31")
def green(text): return styled(text, "32")


class Screen:
    """A block of lines at the bottom that is redrawn; in a log, a block from time to time."""

    EVERY = 3  # seconds between two blocks in a log

    def __init__(self):
        self.height, self.last = 0, None

    def show(self, lines):
        if TERMINAL:
            columns, rows = shutil.get_terminal_size()
            lines = [line[:columns - 1] for line in lines][:rows - 2]
            lines = [dim(line) if "TICKET" in line else green(line) if line.startswith("  slot") else line for line in lines]
            up = f"\x1b[{self.height}A" if self.height else ""
            sys.stdout.write(up + "".join(f"\r{line}\x1b[K\n" for line in lines) + "\x1b[J")
            self.height = len(lines)
        elif self.last is None or time.monotonic() - self.last >= self.EVERY:
            self.last = time.monotonic()
            print("\n".join(lines) + "\n")
        sys.stdout.flush()

    def say(self, line):
        """A line that stays, above the block."""
        self.clear()
        print(line, flush=True)

    def clear(self):
        if TERMINAL and self.height:
            sys.stdout.write(f"\x1b[{self.height}A\x1b[J")
            self.height = 0
