#!/usr/bin/env python3
"""Scripts on two hosts take turns at one board on a third, over SSH, while the network is cut. `scripts/demo` runs it.

The hosts are network namespaces of this machine, each with a file tree of its own. The bench has an sshd and no semq.
Fails if an image came out wrong, or if two held the board at once.
"""
import datetime
import hashlib
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "board"), str(HERE.parent.parent / "Tests/Support/hosts")]

from screen import Screen, bold, dim, green, red
from served import Lab

SEMAPHORE, PORT = "lab@bench:board.queue", "7000"
SIZE = 4096
JOBS = [
    ("ws1", "ann: bring-up"), ("ws2", "ben: USB fix"), ("ws1", "ci: commit 4f2a91c"),
    ("ws2", "eve: power measurement"), ("ws1", "joe: boot time"), ("ws2", "zoe: new driver"),
]
# Whose host is cut off while it holds.
FOR_A_MOMENT, FOR_GOOD = "ben: USB fix", "eve: power measurement"
MOMENT = 4  # seconds
# Of what semq says, the rest being who stands where in the queue.
NEWS = ("made the queue", "connection", "connected", "the lock is lost")


class Log:
    """What happens, as lines with the time since the start; and the queue below."""

    def __init__(self):
        self.start, self.screen, self.lock = time.time(), Screen(), threading.Lock()

    def say(self, who, text):
        with self.lock:
            self.screen.say(f"{time.time() - self.start:5.1f}  {who:9}{text}")

    def show(self, lines):
        with self.lock:
            self.screen.show(lines)

    def clear(self):
        with self.lock:
            self.screen.clear()


class Job:
    def __init__(self, host, name, folder):
        self.host, self.name = host, name
        self.image = folder / f"{name.split(':')[0]}-{random.getrandbits(32):08x}.hex"
        self.image.write_text("".join(f"{random.getrandbits(252):063x}\n" for _ in range(SIZE // 64)))
        self.wanted = hashlib.sha256(self.image.read_bytes()).hexdigest()[:8]
        self.booted, self.lost_at = "none", None
        self.turns, self.process = 0, None

    @property
    def who(self):
        return f"{self.host} {self.name.split(':')[0]}"

    def begin(self, lab, log):
        words = [HERE / "job.sh", SEMAPHORE, PORT, self.image, self.name]
        self.process = lab.start(
            self.host, words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.readers = [threading.Thread(target=read, args=[log]) for read in (self.hear, self.read)]
        for reader in self.readers:
            reader.start()

    def hear(self, log):
        for line in self.process.stderr:
            if any(word in line for word in NEWS):
                log.say(self.who, line.strip().removeprefix(f"semq: {SEMAPHORE}: "))
            if "the lock is lost" in line:
                self.lost_at = time.time()
            if "writes" in line:
                self.turns += 1

    def read(self, log):
        for line in self.process.stdout:
            self.booted = line.strip()
            log.say(self.who, f"the board runs {self.booted}")

    def end(self):
        self.process.wait()
        for reader in self.readers:
            reader.join()

    @property
    def is_right(self):
        return self.booted == self.wanted


class Bench:
    """The hosts, and what can be asked of them."""

    def __init__(self, lab, folder):
        self.lab = lab
        lab.ask("create", name="bench", see=[str(HERE.parent)])
        for name in ("ws1", "ws2"):
            about = lab.ask("create", name=name, client=True, see=[str(HERE.parent), str(folder)])
            program = f"{about['root']}/usr/local/bin/semq"
            shutil.copyfile(shutil.which("semq"), program)
            pathlib.Path(program).chmod(0o755)
        lab.start("bench", ["/usr/bin/python3", HERE / "port.py", PORT, "/tmp/progress"], user="lab", stdin=subprocess.DEVNULL)
        knock = f"until exec 3<>/dev/tcp/bench/{PORT}; do sleep 0.05; done 2>/dev/null"
        lab.run("ws1", ["timeout", "10", "bash", "-c", knock], check=True)

    def semq(self, *words):
        done = self.lab.run("ws1", ["semq", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return done.stdout

    def status(self):
        return self.semq("status", SEMAPHORE).splitlines()

    def knows(self, name):
        text = self.semq("status", "--json", SEMAPHORE)
        status = json.loads(text) if text else {"holders": [], "waiting": []}
        return name in [member["description"] for member in status["holders"] + status["waiting"]]

    def turns(self):
        """Who was granted when until when, and how that ended; in the order of the grants."""
        turns = []
        for event in map(json.loads, self.semq("history", "--json", SEMAPHORE).splitlines()):
            at = datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()
            if event["event"] == "granted":
                turns.append({"name": event["description"], "from": at, "ticket": event["ticket"]})
            for turn in turns:
                if event["event"] in ("released", "lost") and turn["ticket"] == event["ticket"]:
                    turn.update(to=at, end=event["event"])
        return turns


def play(bench, jobs, log):
    """Starts the jobs one after the other, and cuts their host off while two of them hold."""

    def until(condition):
        while not condition():
            if jobs[-1].process and all(job.process.poll() is not None for job in jobs):
                raise SystemExit("the scripts were through before the network was cut")
            time.sleep(0.02)

    def cut(job, condition, how_long):
        until(lambda: job.turns > 0)
        bench.lab.ask("drop", name="bench", peer="ws2")
        log.say("", bold(f"-- ws2 is cut off, {how_long}"))
        until(condition())
        bench.lab.ask("heal", name="bench")
        log.say("", bold("-- ws2 is back"))

    def a_moment():
        back = time.time() + MOMENT
        return lambda: time.time() > back

    def another_turn():
        others = [job for job in jobs if job.host != "ws2"]
        before = sum(job.turns for job in others)
        return lambda: sum(job.turns for job in others) > before

    for job in jobs:
        job.begin(bench.lab, log)
        while not bench.knows(job.name) and job.process.poll() is None:
            time.sleep(0.02)
    named = {job.name: job for job in jobs}
    cut(named[FOR_A_MOMENT], a_moment, f"for {MOMENT} s")
    cut(named[FOR_GOOD], another_turn, "until somebody else has the board")


def watch(bench, log, is_over):
    """Shows the queue, as one of the hosts sees it."""
    while not is_over.wait(0.1):
        if status := bench.status():
            log.show([f"$ semq status {SEMAPHORE}", *status])


def table(turns, jobs):
    began = turns[0]["from"]
    print(bold("  host  job                       from      to   image     the board ran"))
    last = {turn["name"]: turn for turn in turns}
    for turn in turns:
        job = next(job for job in jobs if job.name == turn["name"])
        ran = red("turn lost")
        if turn is last[job.name]:
            ran = green(f"{job.booted} right") if job.is_right else red(f"{job.booted} WRONG")
        times = f"{turn['from'] - began:7.1f} {turn['to'] - began:7.1f}"
        print(f"  {job.host}   {job.name:22}{times}   {job.wanted}  {ran}")
    print()


def complaints(turns, jobs):
    for job in jobs:
        if not job.is_right:
            yield f"the image of {job.name} went wrong"
    for before, after in zip(turns, turns[1:]):
        if after["from"] < before["to"]:
            yield f"{before['name']} still held when {after['name']} was granted"
    if not any(job.lost_at for job in jobs if job.name == FOR_GOOD):
        yield f"{FOR_GOOD}: was never told that the turn was lost"


def main():
    random.seed()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="semq-bench."))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with Lab() as lab:
            jobs = [Job(host, name, folder) for host, name in JOBS]
            print(bold("Six scripts on two hosts want the board on a third, over SSH. The bench has an sshd, and no semq."))
            print(dim(f"Each runs: semq acquire -m DESCRIPTION {SEMAPHORE} -- ./flash.sh bench {PORT} IMAGE"))
            print()
            bench = Bench(lab, folder)
            log, is_over = Log(), threading.Event()
            watcher = threading.Thread(target=watch, args=[bench, log, is_over])
            watcher.start()
            try:
                play(bench, jobs, log)
                for job in jobs:
                    job.end()
            finally:
                is_over.set()
                watcher.join()
                log.clear()
            turns = bench.turns()
        print()
        table(turns, jobs)
        number = next(number for number, turn in enumerate(turns) if turn["name"] == FOR_GOOD)
        ended = next(job.lost_at for job in jobs if job.name == FOR_GOOD)
        if ended:
            print(f"The one that was cut off was ended {turns[number + 1]['from'] - ended:.1f} s before the next had the board.")
        wrong = list(complaints(turns, jobs))
        for complaint in wrong:
            print(red(complaint))
        return 1 if wrong else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
