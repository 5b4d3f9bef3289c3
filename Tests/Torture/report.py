"""Says what a torture run found: what both modes have in common."""

from collections import Counter

MINIMUM_SECONDS = 60


class Table:
    """One column for each round, and one for all together."""

    def __init__(self, rounds):
        self.rounds = rounds
        self.row("", lambda each: f"N = {each.concurrency}", lambda _: "all")

    def row(self, name, value, total=sum):
        values = [value(each) for each in self.rounds]
        print(f"{name:30}" + "".join(f"{each!s:>12}" for each in values) + f"{total(values)!s:>12}")

    def times(self, name, nanoseconds, choose):
        """Milliseconds; `choose` is min or max. A round that has none gives None."""

        def text(value):
            return "–" if value is None else f"{value / 1e6:.1f} ms"

        values = [nanoseconds(each) for each in self.rounds]
        known = [value for value in values if value is not None]
        total = text(choose(known) if known else None)
        print(f"{name:30}" + "".join(f"{text(each):>12}" for each in values) + f"{total:>12}")


def accounted(rounds):
    """What the documents say is not covered, and was so: how often."""
    reasons = {why for each in rounds for why in each.findings.accounted}
    for why in sorted(reasons):
        count = sum(len(each.findings.accounted.get(why, ())) for each in rounds)
        print(f"beside the next turn, as documented: {why}: {count}")


def exits(rounds):
    codes = sum((each.exits for each in rounds), Counter())
    print("exit codes: " + ", ".join(f"{code}: {count}" for code, count in sorted(codes.items(), key=str) if count))


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

    def nothing(self, cases, what):
        self.check(not cases, f"{len(cases)} {what}", cases)

    def close(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return self.failed == 0


def check_exclusion(checks, each):
    """What a semaphore is for, and what must be left at the end."""
    found, at = each.findings, f"at concurrency {each.concurrency}"
    checks.nothing(found.overlaps, f"overlaps {at}")
    checks.nothing(found.beside, f"processes at the board beside another turn {at}")
    checks.nothing(found.lost, f"lost updates {at}")
    checks.nothing(found.tokens, f"token order violations {at}")
    checks.nothing(each.leaks, f"leaks of slots {at}")
    checks.nothing(found.vanished, f"commands ended by nobody known {at}")
    odd = [text for _, _, text in each.odd_exits]
    checks.nothing(odd, f"jobs ended as nothing that was done to them explains {at}")
    checks.nothing(each.problems, f"problems {at}")


def check_unlocked(checks, each):
    """The oracle must notice that nothing is locked."""
    found = each.findings
    in_time = sum(text.startswith("two in one slot") for text in found.overlaps)
    checks.check(found.grants > 0, "no worker ran")
    checks.check(in_time, "no overlap was seen by the clock")
    checks.check(found.clashes, "no overlap was seen by the witness")
    checks.check(found.lost, "no lost update was seen")
    checks.check(found.beside, "nobody was seen at the board beside another")
