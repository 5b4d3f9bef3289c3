"""scripts/bench: measures, and writes the page."""

import argparse
import os
import sys

from . import api, before, cold, fifty, files, footprint, handover, recovery, resume, startup, thousand, warm
from .bench import Bench
from .machine import Machine
from .report import page

ROWS = {
    "startup": startup.measure, "fifty": fifty.measure, "thousand": thousand.measure, "recovery": recovery.measure,
    "api": api.measure, "footprint": footprint.measure, "before": before.measure,
    "cold": cold.measure, "warm": warm.measure, "handover": handover.measure, "files": files.measure,
    "resume": resume.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bench", description="Measures semq beside its peers.",
        epilog="A full run writes docs/benchmarks.md; with --quick or names it prints the page instead.")
    parser.add_argument("--quick", action="store_true", help="few repetitions: for a look, not for the record")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(ROWS)}")
    options = parser.parse_args()
    for name in options.names:
        if name not in ROWS:
            parser.error(f"there is no measurement {name}; there are {', '.join(ROWS)}")
    bench = Bench(os.environ["SEMQ_BINARY"], options.quick)
    try:
        rows = []
        for name in options.names or ROWS:
            print(f"bench: {name} …", file=sys.stderr, flush=True)
            for row in ROWS[name](bench):
                print(f"bench: {row.what}: {row.figure}; {row.ratio}; {row.verdict}", file=sys.stderr, flush=True)
                rows.append(row)
        with open(os.path.join(bench.sources, "causes.md"), encoding="utf-8") as file:
            causes = file.read()
        text = page(rows, Machine.here(bench.folder, bench.peer_versions()), causes)
    finally:
        bench.close()
    if options.quick or options.names:
        print(text, end="")
    else:
        target = os.path.join(os.path.dirname(bench.sources), "docs", "benchmarks.md")
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)
        print(f"bench: written to docs/benchmarks.md", file=sys.stderr)
    return 0


sys.exit(main())
