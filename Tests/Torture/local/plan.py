"""The plan of a local round."""

import random

import plan
from plan import Fault, Job

SIGNALS = ("SIGKILL", "SIGTERM", "SIGSTOP")
TARGETS = ("semq holding", "semq waiting", "guardian", "command")
DAMAGE = ("garbage", "header garbage", "emptied", "truncated", "torn line")
# Done to one process, or to several of one holder's.
SEVERAL = ("SIGKILL semq and guardian", "SIGKILL whole tree")
BEFORE_START = "SIGKILL command-to-be"
TOLD = tuple(f"{signal} semq {what}" for signal in ("SIGHUP", "SIGINT") for what in ("holding", "waiting"))
# SIGTSTP to a process group, and SIGCONT.
AT_GRANT, AT_WORK = "Ctrl-Z and fg at the grant", "Ctrl-Z and fg at work"
RELEASED = "turn ended (release)"
SIGNALLED = tuple(f"{signal} {target}" for signal in SIGNALS for target in TARGETS) + TOLD + (BEFORE_START,) + SEVERAL
GROUPED = (AT_GRANT, AT_WORK, RELEASED)
DAMAGED = tuple(f"file {damage}" for damage in DAMAGE)
COPIED = "file copied"
CHANGED = ("concurrency set", "paused")
CONCURRENCIES = (1, 2, 5)
FAULTS = SIGNALLED + GROUPED + DAMAGED + (COPIED,) + CHANGED

FLIGHT = 24  # jobs kept in flight
LONG_STOP = 8  # seconds: longer than a head of the queue that doesn't respond is waited for


def draw_faults(seed, concurrency, seconds, without=()):
    """The faults of one round. Each kind comes equally often, in an order and with gaps from the seed."""
    dice = random.Random(f"{seed}/{concurrency}/faults")
    decks = max(1, round(seconds * 0.5))
    chosen = plan.without(FAULTS, without)
    kinds = [kind for _ in range(decks) for kind in dice.sample(chosen, len(chosen))]
    start, end = min(0.5, seconds / 10), seconds * 0.96
    moments = sorted(dice.uniform(start, end) for _ in kinds)
    faults = [Fault(at, kind, _draw(dice, kind, concurrency)) for at, kind in zip(moments, kinds)]
    # One waiter in fifteen seconds stands still long enough to be passed.
    waiting = [fault for fault in faults if fault.kind == "SIGSTOP semq waiting"]
    for chosen in dice.sample(waiting, min(len(waiting), int(seconds / 14))):
        chosen.draw["seconds"] = LONG_STOP
    return faults


def _draw(dice, kind, concurrency):
    draw = {}
    if kind in SIGNALLED + GROUPED:
        draw["instant"] = dice.uniform(0, 1.2)  # of a section; beyond 1, while it is given back
        # Which waiter: the head and the next ones are where grants are made.
        draw["waiter"] = 0 if dice.random() < 0.6 else dice.random()
        draw["early"] = dice.random()  # below 0.3: guardian and command before they are started
        if kind.startswith("SIGSTOP"):
            draw["seconds"] = dice.uniform(0.01, 0.12)
        if kind.endswith(("tree", "and guardian")):
            draw["order"] = dice.random()
            draw["gap"] = dice.choice((0, 0, 0.0005, 0.003))
        if kind in (AT_GRANT, AT_WORK):
            draw["seconds"] = dice.choice((dice.uniform(0, 0.005), dice.uniform(0.01, 0.12)))
            draw["after"] = dice.choice((dice.uniform(0, 0.4), dice.uniform(0, 3)))  # ms from the holder's end
    elif kind in DAMAGED:
        draw["bytes"] = dice.getrandbits(32)
        draw["mend"] = dice.uniform(0.01, 0.06)
    elif kind == "concurrency set":
        draw["to"] = dice.choice([n for n in CONCURRENCIES if n != concurrency])
        draw["seconds"] = dice.uniform(0.03, 0.15)
    elif kind == "paused":
        draw["seconds"] = dice.uniform(0.02, 0.08)
    return draw


def draw_job(seed, concurrency, number):
    dice = random.Random(f"{seed}/{concurrency}/job/{number}")
    # Longer where more are inside at once, or the machine would be the bottleneck and nobody would wait.
    job = Job(number, section=int(dice.uniform(1000, 3000) * (1 + (concurrency - 1) * 1.5)))
    what = dice.random()
    options = []
    if what < 0.3:
        # The driver learns of it some 20 ms late.
        job.victim, job.section = True, int(dice.uniform(25000, 60000) * (1 + (concurrency - 1) * 0.5))
        job.daemon = int(dice.uniform(1500, 3500)) if dice.random() < 0.3 else 0
    elif what < 0.33:
        job.daemon = int(dice.uniform(1500, 3500))
    elif what < 0.42:
        options += ["-w", f"{dice.uniform(0.004, 0.15):.3f}"]
    elif what < 0.48:
        options += ["-n"]
    if dice.random() < 0.10:
        # The lowest would wait as long as others come, until only such are left.
        job.priority = dice.choice((-1, 1, 2) if "-w" in options else (1, 2))
        options += ["--priority", str(job.priority)]
    if dice.random() < 0.75:
        options += ["-q"]
    if not job.daemon and dice.random() < 0.25:
        plan.draw_family(dice, job, tuple(plan.FAMILIES), 1, 15)
    elif dice.random() < 0.06:
        job.copied = True
    job.options = tuple(options)
    return job
