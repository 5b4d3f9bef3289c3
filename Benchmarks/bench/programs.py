"""The benchmarks that are written in Swift."""

import os
import subprocess
import sys

from .bench import Bench


def build(bench: Bench, name: str) -> str:
    scratch = os.path.join(bench.sources, ".build")
    words = ["swift", "build", "-c", "release", "--package-path", bench.sources, "--scratch-path", scratch]
    subprocess.run(words, check=True, stdout=sys.stderr)
    return os.path.realpath(os.path.join(scratch, "release", name))


def needed(program: str) -> list[str]:
    """What must be there where it runs: itself and Swift's libraries."""
    said = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    libraries = [line.split(" => ")[1].rpartition(" (")[0] for line in said.splitlines() if "/libswift" in line]
    return [program, *libraries]
