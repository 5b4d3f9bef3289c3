"""What a torture run does and when, drawn from a seed: kinds, order and gaps. The same seed, the same plan."""

from dataclasses import dataclass, field

# Part of a job from its start.
JOBS = ("daemon left behind", "waiter gives up (-w)", "no waiting (-n)", "priority")


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
    options: tuple = ()

    def kinds(self):
        has = (self.daemon, "-w" in self.options, "-n" in self.options, self.priority)
        return [kind for kind, each in zip(JOBS, has) if each]

    def __str__(self):
        about = [f"{self.number:4} inside {self.section:7} µs", *self.options]
        about += ["(victim)"] * self.victim + ["(deaf)"] * self.deaf
        if self.daemon:
            about.append(f"(leaves a daemon for {self.daemon} ms)")
        return " ".join(about)


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
