"""What a torture run does and when, drawn from a seed: kinds, order and gaps. The same seed, the same plan."""

from dataclasses import dataclass, field

# Part of a job from its start.
JOBS = ("daemon left behind", "waiter gives up (-w)", "no waiting (-n)", "priority")
# What a command leaves behind, or runs inside of.
FAMILIES = {
    "children in the session": ("child",),
    "children deaf to signals": ("deaf",),
    "child behind a daemon": ("behind",),
    "child of another user": ("root",),
    "child without the lock": ("closed",),
    "timeout inside": ("deaf",),
    "background job": ("deaf",),
}
WITH_COPY = "--all with a copied file"
# semq is run by that user where its children are to be another's.
USER = 64125
GRACE = 0.05  # seconds


@dataclass
class Fault:
    at: float  # seconds from the start of the round
    kind: str
    draw: dict = field(default_factory=dict)  # numbers and words for its details

    def __str__(self):
        def text(value):
            return value if isinstance(value, str) else f"{value:.3g}"

        details = " ".join(f"{name}={text(value)}" for name, value in self.draw.items())
        return f"{self.at:8.3f} s  {self.kind:26} {details}"


@dataclass
class Job:
    number: int
    section: int  # microseconds inside
    victim: bool = False  # stays inside long enough to be hit there
    daemon: int = 0  # milliseconds that a daemon outlives it
    deaf: bool = False  # its command doesn't heed SIGTERM
    priority: int = 0
    family: str = ""
    children: tuple = ()  # (kind, milliseconds that it outlives the command)
    limit: float = 0  # seconds, of `timeout`
    copied: bool = False  # takes a copy of the queue's file, too
    options: tuple = ()

    def kinds(self):
        has = (self.daemon, "-w" in self.options, "-n" in self.options, self.priority)
        kinds = [kind for kind, each in zip(JOBS, has) if each]
        return kinds + [self.family] * bool(self.family) + [WITH_COPY] * self.copied

    def command(self, worker, folder, *more):
        """The words of the command."""
        words = [worker, folder, str(self.number), str(self.section), *more]
        # What `timeout` ends is not what semq does.
        words += ["tidy=1"] * (self.family == "timeout inside" and bool(more))
        words += [f"daemon={self.daemon}"] * bool(self.daemon) + ["deaf=1"] * self.deaf
        if self.family == "background job":
            # A shell leaves it behind; the worker takes the shell's place.
            (kind, outlives), *_ = self.children
            child = [worker, "child", folder, str(self.number), kind, str(self.section // 1000 + outlives)]
            return ["sh", "-c", '"$1" "$2" "$3" "$4" "$5" "$6" & shift 6; exec "$@"', "sh", *child, *words]
        words += [f"child={kind},{outlives}" for kind, outlives in self.children]
        return ["timeout", f"{self.limit:.4f}", *words] if self.family == "timeout inside" else words

    def __str__(self):
        about = [f"{self.number:4} inside {self.section:7} µs", *self.options]
        about += ["(victim)"] * self.victim + ["(deaf)"] * self.deaf
        about += [f"({self.family})"] * bool(self.family) + [f"({WITH_COPY})"] * self.copied
        if self.daemon:
            about.append(f"(leaves a daemon for {self.daemon} ms)")
        return " ".join(about)


def draw_family(dice, job, families, least, most):
    """`least`, `most`: milliseconds that its children outlive the command."""
    job.family = dice.choice(families)
    kinds = FAMILIES[job.family] * (dice.randrange(1, 4) if job.family.startswith("children") else 1)
    job.children = tuple((kind, dice.randrange(least, most)) for kind in kinds)
    job.limit = job.section / 1e6 * dice.uniform(0.3, 1.5)


def without(kinds, words):
    return [kind for kind in kinds if not any(word in kind for word in words)]


def rounds(seconds, concurrencies=(1, 3)):
    return [(concurrency, seconds / len(concurrencies)) for concurrency in concurrencies]


def print_plan(plan, seed, seconds, concurrencies, without):
    """`plan`: the module that draws it."""
    for concurrency, length in rounds(seconds, concurrencies):
        print(f"concurrency {concurrency}, {length:g} s, {plan.FLIGHT} jobs in flight")
        for fault in plan.draw_faults(seed, concurrency, length, without):
            print(f"  {fault}")
        print("  the first jobs:")
        for number in range(40):
            print(f"    {plan.draw_job(seed, concurrency, number)}")
