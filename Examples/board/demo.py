#!/usr/bin/env python3
"""Twelve scripts and one board: through a queue, and without one. `scripts/demo` runs it.

Fails if one of the images that went through the queue came out wrong.
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
import time

from screen import Screen, bold, dim, green, red

HERE = pathlib.Path(__file__).resolve().parent
SIZE = 2048
# Who comes in this order: what for, and with what priority.
JOBS = [
    ("ann: bring-up", 0), ("ben: USB fix", 0), ("ci: commit 4f2a91c", 0), ("ci: commit 77b0e3d", 0),
    ("nightly: soak test", -10), ("eve: power measurement", 0), ("joe: boot time", 0), ("ann: bring-up, again", 0),
    ("demo for the customer", 10), ("ci: commit c01dbee", 0), ("ben: USB fix, again", 0), ("zoe: new driver", 0),
]


class Job:
    def __init__(self, number, name, priority, folder):
        self.number, self.name, self.priority = number, name, priority
        self.image = folder / f"image-{number}.hex"
        lines = (f"{random.getrandbits(252):063x}\n" for _ in range(SIZE // 64))
        self.image.write_text("".join(lines))
        self.wanted = hashlib.sha256(self.image.read_bytes()).hexdigest()[:8]


class Run:
    """The twelve jobs at once, with or without a queue."""

    def __init__(self, jobs, folder, semaphore):
        self.jobs, self.folder, self.semaphore = jobs, folder, semaphore
        self.line, self.progress = folder / "line", folder / "progress"
        self.processes, self.booted = [], {}

    def go(self, screen, picture):
        self.progress.unlink(missing_ok=True)
        board = subprocess.Popen([sys.executable, HERE / "board.py", self.line, self.progress])
        while not self.line.exists():
            if board.poll() is not None:
                sys.exit("the board does not start")
            time.sleep(0.01)
        try:
            self.start = time.time()
            for job in self.jobs:
                self.begin(job)
                screen.show(picture(self))
                # One after the other, so that the order in which they came is known.
                time.sleep(0.05)
            while any(process.poll() is None for process in self.processes):
                screen.show(picture(self))
                self.note()
                time.sleep(0.1)
            self.note()
            self.seconds = time.time() - self.start
        finally:
            for process in self.processes:
                if process.poll() is None:
                    process.terminate()
            board.terminate()
            board.wait()
            self.line.unlink(missing_ok=True)
        screen.clear()

    def begin(self, job):
        words = [HERE / "job.sh", self.line, job.image, job.name]
        if self.semaphore:
            words += [self.semaphore, str(job.priority)]
        self.processes.append(subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True))
        if self.semaphore:
            while not self.knows(job):
                time.sleep(0.01)

    def knows(self, job):
        status = self.status()
        names = {member["description"] for member in status.get("holders", []) + status.get("waiting", [])}
        return job.name in names or self.processes[-1].poll() is not None

    def status(self):
        text = subprocess.run(
            ["semq", "status", "--json", self.semaphore], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        return json.loads(text) if text else {}

    def note(self):
        for job, process in zip(self.jobs, self.processes):
            if process.poll() is not None and job.number not in self.booted:
                self.booted[job.number] = process.stdout.read().strip()

    def right(self, job):
        return self.booted.get(job.number) == job.wanted

    def board(self):
        """What the board does, as a line."""
        try:
            state, got, size = self.progress.read_text().split()
        except (OSError, ValueError):
            return "board: waits for a command"
        if state not in ("writing", "booting"):
            return f"board: runs {state}, waits for a command"
        filled = 24 * int(got) // int(size)
        return f"board: {state} [{'#' * filled}{'.' * (24 - filled)}] {int(got):4} of {size} bytes"


def queued_picture(run):
    status = subprocess.run(["semq", "status", run.semaphore.name], cwd=run.folder, capture_output=True, text=True).stdout
    return [f"$ semq status {run.semaphore.name}"] + status.splitlines() + ["", run.board()]


def free_picture(run):
    busy = sum(process.poll() is None for process in run.processes)
    return [f"{busy} scripts talk to the board" if busy != 1 else "1 script talks to the board", run.board()]


def grants(run):
    """When each job was granted and gave back, by the queue's history, in the order of the grants."""
    lines = subprocess.run(["semq", "history", "--json", run.semaphore], stdout=subprocess.PIPE, text=True).stdout
    granted, released = {}, {}
    for event in map(json.loads, lines.splitlines()):
        if event["event"] in ("granted", "released"):
            (granted if event["event"] == "granted" else released)[event["description"]] = event
    return granted, released


def seconds(text):
    """Of a time of the history; only differences of them are used."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def verdict(run, job):
    booted = run.booted[job.number]
    if run.right(job):
        return green(f"{booted} right".ljust(17))
    return red(("never booted" if booted == "none" else f"{booted} garbled").ljust(17))


def table(queued, free):
    granted, released = grants(queued)
    order = list(granted)
    began = min(seconds(event["time"]) for event in granted.values())
    print(bold("  went  came  job                       from      to   image     with semq          without"))
    for place, name in enumerate(order, 1):
        job = next(job for job in queued.jobs if job.name == name)
        start, end = (seconds(each[name]["time"]) - began for each in (granted, released))
        with_, without = verdict(queued, job), verdict(free, job)
        mark = f" {job.priority:+}" if job.priority else ""
        print(f"  {place:4}  {job.number:4}  {name + mark:24}{start:6.1f}  {end:6.1f}   {job.wanted}  {with_}  {without}".rstrip())
    print()
    for what, run in ("With semq:    ", queued), ("Without semq: ", free):
        count = sum(run.right(job) for job in run.jobs)
        print(f"{what} {count:2} of {len(run.jobs)} images right, in {run.seconds:.1f} s")


def main():
    random.seed()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="semq-board."))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        jobs = [Job(number, name, priority, folder) for number, (name, priority) in enumerate(JOBS, 1)]
        queued, free = Run(jobs, folder, folder / "board.queue"), Run(jobs, folder, None)
        subprocess.run(["semq", "set", queued.semaphore, "--concurrency", "1"], stderr=subprocess.DEVNULL, check=True)
        print(bold("Twelve scripts want the same board, through one queue."))
        print(dim("Each runs: semq acquire --priority N -m DESCRIPTION board.queue -- ./flash.sh LINE IMAGE"))
        print()
        queued.go(Screen(), queued_picture)
        print(bold("The same twelve at once, without semq."))
        print()
        free.go(Screen(), free_picture)
        table(queued, free)
        wrong = [job for job in jobs if not queued.right(job)]
        if wrong:
            print(red(f"{len(wrong)} images went wrong although the scripts took turns"))
        return 1 if wrong else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
