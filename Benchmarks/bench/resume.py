"""A holder that is cut off for a while, and back."""

import os
import random
import select
import signal
import subprocess
import time

from . import processes
from .bench import Bench
from .figures import Figure
from .hosts import CLIENTS, Site, on_hosts
from .report import Head, Row, Verdict

CUT = 3
# Between two heartbeats of the usual lease.
BEAT = 3
HEAD = Head(
    name="resume", what=f"resume after a cut of {CUT} s, from the route's return to “connected again”", target="≤ 1 s")


class Holder:
    """Holds a permit, and hears when semq says something."""

    def __init__(self, site: Site):
        self._log = site.bench.log()
        self._command = [site.bench.helper("hold"), self._log, "0"]
        self._process = site.lab.start(
            CLIENTS[0], ["semq", "acquire", site.queue(), "--", *self._command],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        processes.until(lambda: "start" in processes.read(self._log), "a holder to start")
        self.said = b""

    def hears(self, text: str, until: float) -> float | None:
        """The moment when semq has said that, or nothing if it has not by then. What it said before is forgotten."""
        stream = self._process.stderr.fileno()
        while (rest := until - time.monotonic()) > 0:
            if select.select([stream], [], [], rest)[0]:
                part = os.read(stream, 4096)
                moment = time.monotonic()
                if not part:
                    raise RuntimeError(f"the holder ended: {self.said.decode()}")
                self.said += part
                if text.encode() in self.said:
                    self.said = b""
                    return moment
        return None

    def end(self) -> None:
        os.kill(processes.named(self._command), signal.SIGUSR1)
        if self._process.wait() != 0:
            raise RuntimeError(f"the holder ended with {self._process.returncode}: {self.said.decode()}")


def measure(bench: Bench) -> list[Row]:
    return on_hosts(bench, [HEAD], measured)


def measured(site: Site) -> list[Row]:
    dice = random.Random(3)
    holder = Holder(site)
    times, unnoticed = [], 0
    while len(times) < (3 if site.bench.quick else 16):
        time.sleep(dice.uniform(0, BEAT))
        site.lab.ask("drop", name=CLIENTS[0])
        time.sleep(CUT)
        # From before it is asked for: the packet filter is changed a little later.
        healed = time.monotonic()
        site.lab.ask("heal", name=CLIENTS[0])
        again = holder.hears("connected again", healed + 2 * BEAT)
        if again:
            times.append(again - healed)
        elif b"lost" in holder.said:
            raise RuntimeError(f"not connected again: {holder.said.decode()}")
        else:
            unnoticed += 1
    holder.end()
    figure = Figure(times)
    return [Row(
        **vars(HEAD), figure=f"{figure.text('s')}, longest {max(times):.2f} s", ratio="–",
        verdict=Verdict(figure.median, 1).text,
        method=f"The client host's packet filter drops everything for {CUT} s, from any moment between two heartbeats on, "
        "while a command runs under a lease of the usual 15 s; the time runs from before the filter is asked to let "
        f"all through to the line on standard error. {len(times)} rounds; in {unnoticed} others no heartbeat was missed "
        "for a second before the route was back, so that the old connection just went on. The command noticed nothing.")]
