"""A whole process that takes a semaphore on another host, nobody else there, nothing connected yet."""

from .bench import Bench
from .figures import Figure, ratio
from .hosts import CLIENTS, SEMAPHORES, Site, on_hosts
from .report import Head, Row, Verdict
from .startup import rounds

HEAD = Head(
    name="cold",
    what="`semq acquire host:F -- true` against `ssh host flock F true`, cold; and against ssh held to curve25519",
    target="≤ 0.5 ×; ≤ 0.8 ×")
CURVE = ["-o", "KexAlgorithms=curve25519-sha256"]


def measure(bench: Bench) -> list[Row]:
    return on_hosts(bench, [HEAD], measured)


def measured(site: Site) -> list[Row]:
    lock = site.path()
    commands = {
        "semq": ["semq", "acquire", site.made_queue(), "--", "true"],
        "`ssh host flock F true`": ["ssh", SEMAPHORES, "flock", lock, "true"],
        "the same, held to curve25519": ["ssh", *CURVE, SEMAPHORES, "flock", lock, "true"],
        "`semq --rsh ssh`": ["semq", "acquire", "--rsh", "ssh", site.made_queue(), "--", "true"],
        "`ssh host true`": ["ssh", SEMAPHORES, "true"],
    }

    def run(count: int) -> list[list[float]]:
        return rounds(site.bench, list(commands.values()), count, lambda words: site.words(CLIENTS[0], words))

    run(2)
    times = dict(zip(commands, run(6 if site.bench.quick else 120)))
    ours, theirs, curve = list(times.values())[:3]
    against, against_curve = ratio(ours, theirs), ratio(ours, curve)
    return [Row(
        **vars(HEAD),
        figure=f"{Figure(ours).text('ms', 1e-6)}; ssh {Figure(theirs).text('ms', 1e-6)}; "
        f"with curve25519 {Figure(curve).text('ms', 1e-6)}",
        ratio=f"{against.text('×')}; {against_curve.text('×')}",
        verdict=f"{Verdict(against.median, 0.5).text}; {Verdict(against_curve.median, 0.8).text}",
        method="Client and host are network namespaces on one machine with a cable between them and OpenSSH's sshd as it "
        "comes; files are on tmpfs. A C program on the client starts each command with `posix_spawnp` and waits for it, "
        f"by turns, {len(ours)} rounds. Each makes a connection of its own; semq has been put onto the host before.",
        columns=["", "time"],
        lines=[[name, Figure(values).text("ms", 1e-6)] for name, values in times.items()])]
