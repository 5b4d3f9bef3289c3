"""The figures and checks of a local run."""

from collections import Counter

import report
from local import plan as local_plan
from plan import FAMILIES, JOBS, WITH_COPY, without as kinds_without

KINDS = (*JOBS, *FAMILIES, WITH_COPY)
# In a run of a minute each kind is planned some thirty times.
MINIMUM_GRANTS, MINIMUM_FAULTS = 1000, 12


def figures(rounds):
    table = report.Table(rounds)
    table.row("grants", lambda each: each.findings.grants)
    for kind in (*local_plan.FAULTS, *KINDS):
        table.row(kind, lambda each: each.done[kind])
    table.row("overlaps", lambda each: len(each.findings.overlaps))
    table.row("beside another turn at the board", lambda each: len(each.findings.beside))
    table.row("lost updates", lambda each: len(each.findings.lost))
    table.row("inversions", lambda each: each.findings.inversions)
    table.row("  of stopped waiters passed", lambda each: each.findings.passed)
    table.row("token order violations", lambda each: len(each.findings.tokens))
    table.row("slots leaked", lambda each: len(each.leaks))
    table.row("damaged beyond recognition", lambda each: each.emptied)
    table.row("kills inside, recovered from", lambda each: each.findings.recoveries)
    table.times("longest recovery", lambda each: each.findings.recovery[0], max)
    table.times("longest without a grant", lambda each: each.findings.silence[0], max)
    for each in rounds:
        if each.findings.recoveries:
            print(f"longest recovery at N = {each.concurrency}: {each.findings.recovery[1]}")
    report.accounted(rounds)
    report.exits(rounds)


def checks(rounds, seconds, without):
    checks = report.Checks()
    for each in rounds:
        report.check_exclusion(checks, each)
        at = f"at concurrency {each.concurrency}"
        checks.nothing(each.findings.unexplained, f"unexplained inversions {at}")
        checks.nothing(each.swept, f"semq stood still after all had been told to go on {at}")
    if seconds >= report.MINIMUM_SECONDS:
        grants = sum(each.findings.grants for each in rounds)
        checks.check(grants >= MINIMUM_GRANTS, f"only {grants} grants")
        done = sum((each.done for each in rounds), Counter())
        kinds = (*kinds_without(local_plan.FAULTS, without), *KINDS)
        few = [f"{kind}: {done[kind]}" for kind in kinds if done[kind] < MINIMUM_FAULTS]
        checks.check(not few, f"below {MINIMUM_FAULTS} faults of a kind", few)
    return checks


def self_test(rounds, old):
    """Nothing is locked in the first rounds; in the others, an earlier semq does what it did wrong."""
    checks = report.Checks()
    for each in rounds:
        report.check_unlocked(checks, each)
    for each in old:
        # Where commands leave nothing behind, only the fault can have brought two together.
        caught = each.findings.neighbours if each.plain else each.findings.neighbours & each.evidence.ended
        print(f"an earlier semq, {each.name}: noticed at {len(caught)} jobs")
        checks.check(caught, f"an earlier semq's fault was not noticed: {each.name}")
    return checks
