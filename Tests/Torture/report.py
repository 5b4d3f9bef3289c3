"""Says what a torture run found."""

from collections import Counter

import plan

MINIMUM_GRANTS, MINIMUM_FAULTS, MINIMUM_SECONDS = 1000, 20, 30


def figures(rounds):
    """Prints a table: one column for each round, and all together."""
    def row(name, value, total=sum):
        values = [value(each) for each in rounds]
        print(f"{name:30}" + "".join(f"{each!s:>12}" for each in values) + f"{total(values)!s:>12}")

    def milliseconds(nanoseconds):
        return f"{nanoseconds / 1e6:.1f} ms"

    def longest(values):
        return max(values, key=lambda text: float(text.split()[0]))

    row("", lambda each: f"N = {each.concurrency}", lambda _: "all")
    row("grants", lambda each: each.findings.grants)
    for kind in plan.FAULTS + plan.JOBS:
        row(kind, lambda each: each.done[kind])
    row("overlaps", lambda each: len(each.findings.overlaps))
    row("lost updates", lambda each: len(each.findings.lost))
    row("inversions", lambda each: each.findings.inversions)
    row("  of stopped waiters passed", lambda each: each.findings.passed)
    row("token order violations", lambda each: len(each.findings.tokens))
    row("slots leaked", lambda each: len(each.leaks))
    row("damaged beyond recognition", lambda each: each.emptied)
    row("kills inside, recovered from", lambda each: each.findings.recoveries)
    row("longest recovery", lambda each: milliseconds(each.findings.recovery[0]), longest)
    row("longest without a grant", lambda each: milliseconds(each.findings.silence[0]), longest)
    for each in rounds:
        if each.findings.recoveries:
            print(f"longest recovery at N = {each.concurrency}: {each.findings.recovery[1]}")
    exits = sum((each.exits for each in rounds), Counter())
    print("exit codes: " + ", ".join(f"{code}: {count}" for code, count in sorted(exits.items(), key=str) if count))


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, holds, text, cases=()):
        if holds:
            self.passed += 1
            return
        self.failed += 1
        print(f"FAILED: {text}")
        for case in cases[:5]:
            print(f"    {case}")
        if len(cases) > 5:
            print(f"    … and {len(cases) - 5} more")

    def close(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return self.failed == 0


def checks(rounds, seconds, without):
    checks = Checks()
    for each in rounds:
        found, at = each.findings, f"at concurrency {each.concurrency}"
        checks.check(not found.overlaps, f"{len(found.overlaps)} overlaps {at}", found.overlaps)
        checks.check(not found.lost, f"{len(found.lost)} lost updates {at}", found.lost)
        checks.check(not found.tokens, f"{len(found.tokens)} token order violations {at}", found.tokens)
        checks.check(not each.leaks, f"slots leaked {at}", each.leaks)
        checks.check(not found.unexplained, f"{len(found.unexplained)} unexplained inversions {at}", found.unexplained)
        checks.check(not found.vanished, f"{len(found.vanished)} commands ended by nobody known {at}", found.vanished)
        odd = [text for _, _, text in each.odd_exits]
        checks.check(not odd, f"{len(odd)} jobs that nothing was done to failed {at}", odd)
        checks.check(not each.swept, f"{len(each.swept)} semq stood still after all had been told to go on {at}", each.swept)
        checks.check(not each.problems, f"problems {at}", each.problems)
    if seconds >= MINIMUM_SECONDS:
        grants = sum(each.findings.grants for each in rounds)
        checks.check(grants >= MINIMUM_GRANTS, f"only {grants} grants")
        done = sum((each.done for each in rounds), Counter())
        few = [f"{kind}: {done[kind]}" for kind in (*plan.kinds_without(without), *plan.JOBS) if done[kind] < MINIMUM_FAULTS]
        checks.check(not few, f"below {MINIMUM_FAULTS} faults of a kind", few)
    return checks


def self_test(rounds):
    """The oracle must notice that nothing is locked."""
    checks = Checks()
    for each in rounds:
        found = each.findings
        in_time = sum(text.startswith("two in one slot") for text in found.overlaps)
        checks.check(found.grants > 0, "no worker ran")
        checks.check(in_time, "no overlap was seen by the clock")
        checks.check(found.clashes, "no overlap was seen by the witness")
        checks.check(found.lost, "no lost update was seen")
    return checks
