"""The figures and checks of a remote run."""

import report
from plan import FAMILIES, JOBS
from remote import plan as remote_plan
from remote.harm import LOST

MINIMUM, MINIMUM_SECONDS = 20, 60
LONG_SECONDS = 240  # in which every kind of fault comes


def cuts(each):
    return sum(each.done[kind] for kind in remote_plan.CUTS)


def kills(each):
    return sum(each.done[kind] for kind in remote_plan.KILLS)


TIMES = (
    # From the last sign of life of a lost holder's processes to the next entry.
    ("smallest margin", min),
    ("  where nobody said goodbye", min),
    ("longest wait for a dead lease", max),
    # From the kill of a command or a whole host.
    ("longest recovery from a kill", max),
)


def measured(each, name):
    """(ns, where), or nothing."""
    found = each.findings
    recovery = found.recovery if found.recoveries else None
    return dict(zip((name for name, _ in TIMES), (found.margin, found.silent_margin, found.handover, recovery)))[name]


def figures(rounds):
    table = report.Table(rounds)
    table.row("grants", lambda each: each.findings.grants)
    table.row("  to clients on other hosts", lambda each: sum(not each.jobs[job][1].is_local for job in each.entered))
    for kind in (*remote_plan.FAULTS, *JOBS[1:], *FAMILIES):
        table.row(kind, lambda each: each.done[kind])
    table.row("cuts", cuts)
    table.row("kills", kills)
    table.row("cuts that a client noticed", lambda each: each.told["noticed"])
    table.row("resumes", lambda each: each.told["resumed"])
    table.row("places lost, queued again", lambda each: each.told["requeued"])
    table.row("locks lost", lambda each: each.exits[76] - len(each.evidence.ended & each.evidence.lost))
    table.row("  with the command inside", lambda each: each.findings.losses)
    table.row("names that an impostor took", lambda each: len(each.impostor["N"]))
    table.row("  what it was told there", lambda each: len(each.impostor["H"]))
    table.row("overlaps", lambda each: len(each.findings.overlaps))
    table.row("trees alive after the next", lambda each: len(each.findings.trees))
    table.row("beside another turn at the board", lambda each: len(each.findings.beside))
    table.row("lost updates", lambda each: len(each.findings.lost))
    table.row("token order violations", lambda each: len(each.findings.tokens))
    table.row("inversions", lambda each: each.findings.inversions)
    table.row("  of disturbed waiters", lambda each: each.findings.passed)
    table.row("slots leaked", lambda each: len(each.leaks))
    table.row("processes leaked", lambda each: each.left_over)
    for name, choose in TIMES:
        table.times(name, lambda each: (measured(each, name) or [None])[0], choose)
    table.times("longest without a grant", lambda each: each.findings.silence[0], max)
    for each in rounds:
        if each.stalled:
            print(f"at N = {each.concurrency} the machine let nobody run for {each.stalled / 1e9:.1f} s in all")
        for name, _ in TIMES:
            if measured(each, name):
                print(f"{name} at N = {each.concurrency}: {measured(each, name)[1]}")
    report.accounted(rounds)
    report.exits(rounds)


def checks(rounds, seconds, without):
    checks = report.Checks()
    for each in rounds:
        report.check_exclusion(checks, each)
        at = f"at concurrency {each.concurrency}"
        checks.nothing(each.findings.trees, f"trees alive after the next grant {at}")
        checks.nothing(each.findings.unexplained, f"inversions that nothing done to the one who was passed explains {at}")
    if seconds >= MINIMUM_SECONDS and not without:
        for what, count in (("cuts", cuts), ("kills", kills), ("resumes", lambda each: each.told["resumed"])):
            total = sum(map(count, rounds))
            checks.check(total >= MINIMUM, f"only {total} {what}")
    if seconds >= LONG_SECONDS and not without:
        missing = [kind for kind in remote_plan.FAULTS if not any(each.done[kind] for each in rounds)]
        checks.check(not missing, "kinds of faults that never came", missing)
    return checks


def self_test(unlocked, strays, old):
    """Nothing is locked in the first rounds; then, something outlives a lost holder; then, semq is an earlier one."""
    checks = report.Checks()
    for each in unlocked:
        report.check_unlocked(checks, each)
    for each in strays:
        checks.check(each.findings.losses, "no lock was lost")
        checks.check(each.findings.trees, "no tree was seen alive after the next grant")
        noticed = any(code == LOST for _, code, _ in each.odd_exits)
        checks.check(noticed, "a lock that was lost for no reason, as far as the oracle was told, was not noticed")
    for each in old:
        caught = each.findings.neighbours & each.evidence.ended
        print(f"an earlier semq, somebody beside the next holder after SIGTERM: noticed at {len(caught)} jobs")
        checks.check(caught, "what an earlier semq leaves behind after SIGTERM was not noticed")
    return checks
