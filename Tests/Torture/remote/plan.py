"""The plan of a remote round."""

import random

import plan
from plan import FAMILIES, Fault, Job, without as kinds_without

HOSTS, EACH = 4, 3  # client hosts, and jobs kept in flight on each
LOCAL = 3  # jobs kept in flight on the semaphore's own host
FLIGHT = HOSTS * EACH + LOCAL
LEASE = 5  # seconds
RETRIED = 30  # s, by those who keep trying to connect
AGENT_RESTS = 30  # s without a request, then it leaves

# How often a minute.
CUTS = {
    "packets dropped": 10,
    "connections refused": 3,
    "connections reset": 12,  # RST, at both ends
    "session killed": 12,  # sshd's, so FIN
    "semaphore's host cut off": 1.5,
    "sshd stopped": 2,
    "client host off and on": 1,
    "semaphore's host rebooted": 1,
}
KILLS = {
    "SIGKILL semq waiting": 8,
    "SIGKILL semq holding": 5,
    "SIGKILL guardian": 5,
    "SIGKILL command": 4,
    "SIGKILL link": 8,
    "SIGKILL agent holding": 3,
    "SIGKILL agent waiting": 4,
    "SIGKILL relay": 6,
    "SIGKILL semq and guardian": 1.5,  # local ones
    "SIGKILL whole tree": 1.5,  # local ones
    "SIGKILL both halves": 1.5,  # semq and guardian of remote ones
}
TOLD = {
    "SIGTERM semq holding": 4,
    "SIGHUP semq holding": 2,
    "SIGINT semq holding": 2,
    "SIGTERM semq waiting": 2,
    "SIGHUP semq waiting": 2,
    "SIGINT semq waiting": 2,
    "Ctrl-Z and fg": 5,  # SIGTSTP and SIGCONT to the process group of a waiter, mostly the first
    "turn ended (release)": 2,
}
STOPS = {
    "SIGSTOP semq waiting": 5,
    "SIGSTOP semq holding": 4,
    "SIGSTOP guardian": 3,
    "SIGSTOP command": 3,
    "SIGSTOP link": 4,
    "SIGSTOP agent holding": 3,
    "SIGSTOP agent waiting": 4,
    "SIGSTOP relay": 4,
}
RATES = {**CUTS, **KILLS, **STOPS, **TOLD}
FAULTS = tuple(RATES)
# With both semq and its guardian dead or standing still nobody is left to end the command: what a remote lock's
# guarantee does not cover.
BOTH_HALVES, RELEASED, CTRL_Z = "SIGKILL both halves", "turn ended (release)", "Ctrl-Z and fg"
LOCAL_ONLY = ("SIGKILL semq and guardian", "SIGKILL whole tree")
# Done to whoever holds.
_HELD = (" holding", " guardian", " command", *LOCAL_ONLY, BOTH_HALVES, RELEASED)
HELD = tuple(kind for kind in FAULTS if kind.endswith(_HELD))
# Done to whoever holds, or to whoever it is just then.
AIMABLE = ("packets dropped", "connections refused", "connections reset", "session killed")


def draw_faults(seed, concurrency, seconds, without=()):
    """The faults of one round, each kind as often as its rate says, at moments from the seed."""
    dice = random.Random(f"{seed}/{concurrency}/remote faults")
    start, end = min(2, seconds / 10), seconds * 0.95
    faults = []
    for kind in kinds_without(FAULTS, without):
        for _ in range(int(RATES[kind] * seconds / 60 + dice.random())):
            faults.append(Fault(dice.uniform(start, end), kind, _draw(dice, kind)))
    return sorted(faults, key=lambda fault: fault.at)


def _draw(dice, kind):
    draw = {"target": dice.random()}  # which of those that it could be
    if kind in AIMABLE:
        draw["aimed"] = float(dice.random() < 0.6)  # at whoever holds
    draw["instant"] = dice.uniform(0, 1.2)  # of the holder's section; beyond 1, while it is given back
    if (kind in HELD or "aimed" in draw) and dice.random() < 0.15:
        # Seconds: longer than the lease that came with the grant would last.
        draw["late"] = dice.uniform(3.2, 5.5)
    if kind == "packets dropped":
        draw["direction"] = dice.choice(("both", "both", "in", "out"))
        draw["seconds"] = _span(dice, 0.2, 2.8, 3.5, 8, 0.25)
    elif kind == "connections refused":
        draw["seconds"] = _span(dice, 0.2, 2.5, 3.5, 6, 0.2)
    elif kind == "semaphore's host cut off":
        draw["direction"] = dice.choice(("both", "both", "in", "out"))
        draw["seconds"] = _span(dice, 0.2, 2.8, 4, 6, 0.2)
    elif kind == "sshd stopped":
        draw["seconds"] = _span(dice, 0.5, 2.5, 4, 6, 0.2)
    elif kind in ("client host off and on", "semaphore's host rebooted"):
        draw["seconds"] = _span(dice, 0.1, 1.5, 4, 7, 0.15)
    elif kind == CTRL_Z:
        draw["seconds"] = _span(dice, 0, 0.3, 0.3, 2, 0.2)
    elif kind in STOPS:
        draw["seconds"] = _span(dice, 0.05, 2.5, 6, 8, 0.2)
    elif kind in (*LOCAL_ONLY, BOTH_HALVES):
        draw["order"] = dice.random()
        draw["gap"] = dice.choice((0, 0, 0.0005, 0.003))
    return draw


def _span(dice, least, most, long_least, long_most, share):
    """Seconds: mostly what a lease survives, sometimes what it does not."""
    if dice.random() < share:
        return dice.uniform(long_least, long_most)
    return dice.uniform(least, most)


def draw_job(seed, concurrency, number):
    dice = random.Random(f"{seed}/{concurrency}/remote job/{number}")
    job = Job(number, section=int(dice.uniform(5000, 60000)), deaf=dice.random() < 0.5)
    what = dice.random()
    options = []
    if what < 0.35:
        job.victim, job.section = True, int(dice.uniform(150_000, 600_000))
    elif what < 0.42:
        options += ["-w", f"{dice.uniform(0.5, 4):.3f}"]
    elif what < 0.46:
        options += ["-n"]
    if dice.random() < 0.06:
        job.priority = dice.choice((1, 2))
        options += ["--priority", str(job.priority)]
    if dice.random() < 0.3:
        # Who is to be hit inside may have to stay there for seconds.
        families = [family for family in FAMILIES if not (job.victim and family == "timeout inside")]
        plan.draw_family(dice, job, families, 1, 60)
    job.options = tuple(options)
    return job


def draw_remote_options(seed, concurrency, number):
    """What only a remote job says."""
    dice = random.Random(f"{seed}/{concurrency}/remote options/{number}")
    options = ["--lease", str(LEASE)]
    if dice.random() < 0.6:
        options += ["--retry-connect", str(RETRIED)]
    if dice.random() < 0.5:
        options += ["--rsh", "ssh"]
    return tuple(options)
