"""A large file to another host and back."""

import os
import statistics

from . import programs
from .bench import Bench
from .figures import Figure, ratio
from .hosts import CLIENTS, SEMAPHORES, Site, on_hosts
from .report import Head, Row, Verdict
from .startup import rounds

SIZE = 256 << 20
HEAD = Head(name="files", what="a 256 MiB file up and down against `scp`", target="≥ 1.0 × its speed")


def measure(bench: Bench) -> list[Row]:
    program = programs.build(bench, "TransferBenchmark")
    return on_hosts(bench, [HEAD], lambda site: measured(site, program), programs.needed(program))


class Course:
    """Files of one size, moved by turns by each of the two, both ways."""

    def __init__(self, site: Site, program: str, size: int, count: int):
        self.near, self.far = site.roots[CLIENTS[0]], site.root
        content = os.urandom(size)
        self.write(f"{self.near}/srv/up", content)
        self.write(f"{self.far}/srv/down", content)
        user, host = SEMAPHORES.split("@")
        commands = {
            "up": ([program, "up", user, host, "/srv/up", "/srv/up-semq"],
                   ["scp", "-q", "/srv/up", f"{SEMAPHORES}:/srv/up-scp"]),
            "down": ([program, "down", user, host, "/srv/down-semq", "/srv/down"],
                     ["scp", "-q", f"{SEMAPHORES}:/srv/down", "/srv/down-scp"]),
        }
        listed = []
        for words in (words for pair in commands.values() for words in pair):
            # A copy of the round before would save one that overwrites it the work of making a file.
            copy = next((word for word in words if word.startswith("/srv/down-")), None)
            listed += [["rm", "-f", copy], words] if copy else [words]
        columns = [column for words, column in zip(listed, rounds(
            site.bench, listed, count, lambda words: site.words(CLIENTS[0], words))) if words[0] != "rm"]
        # Nanoseconds: ours, theirs.
        self.times = {"up": columns[:2], "down": columns[2:]}
        for path in (f"{self.far}/srv/up", f"{self.near}/srv/down"):
            for name in ("semq", "scp"):
                if self.read(f"{path}-{name}") != content:
                    raise RuntimeError(f"{os.path.basename(path)}-{name}: not what was sent has come")

    @staticmethod
    def write(path: str, content: bytes) -> None:
        with open(path, "wb") as file:
            file.write(content)

    @staticmethod
    def read(path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()


def measured(site: Site, program: str) -> list[Row]:
    small = Course(site, program, 1, 3 if site.bench.quick else 20)
    large = Course(site, program, SIZE, 2 if site.bench.quick else 15)
    relations, lines, figures = {}, [], []
    for way, times in large.times.items():
        speeds = [Figure([SIZE / time * 1e3 for time in column]) for column in times]
        relations[way] = ratio(times[1], times[0])
        figures.append(f"{way} {speeds[0].text('MB/s')}, scp {speeds[1].text('MB/s')}")
        for who, whole, column, connecting in zip(("semq", "scp"), speeds, times, small.times[way]):
            # The same with a file of one byte is nearly all connection.
            without = [time - statistics.median(connecting) for time in column]
            lines.append([who, way, whole.text("MB/s"), Figure([SIZE / time * 1e3 for time in without]).text("MB/s"),
                          Figure(connecting).text("ms", 1e-6)])
    worst = min(relation.median for relation in relations.values())
    return [Row(
        **vars(HEAD), figure="; ".join(figures),
        ratio="; ".join(f"{way} {relation.text('×')}" for way, relation in relations.items()),
        verdict=Verdict(worst, 1.0, at_least=True).text,
        method="`SSHSession.upload` into `cat >FILE` and `SSHSession.download` from `cat FILE`, in a program that "
        "connects, moves one file and ends, beside `scp`; random content, compared afterwards; from tmpfs to tmpfs, what comes "
        "down into a new file, by turns, "
        f"{len(large.times['up'][0])} rounds. The verdict is about the slower way, whole processes, in which connecting is; "
        "beside it the speed less the time that a file of one byte takes.",
        columns=["", "way", "whole process", "without connecting", "a file of one byte"], lines=lines)]
