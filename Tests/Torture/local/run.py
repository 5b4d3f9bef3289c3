"""A run on this machine: a round for each concurrency."""

import os

import plan
from local import plan as local_plan, report
from local.round import Round
from processes import prepare_root
from semq import Semq, Unlocked


HURRY = 20  # times as many faults
# Of semq before its turn followed the session: what went wrong, at which concurrency, for how long to try, what was
# done then, and whether commands leave nothing behind meanwhile.
OLD = (
    ("a child beside the next holder after SIGTERM", 1, 6, "SIGTERM semq holding", False),
    ("Ctrl-Z at the grant", 2, 20, local_plan.AT_GRANT, True),
)


class LocalRun:
    plan = local_plan

    def __init__(self, given, binary, folder, mark, compile_program):
        self._given, self._binary, self._folder, self._mark = given, binary, folder, mark
        self._worker = compile_program("worker.c", folder)
        prepare_root(self._worker, folder)

    def run(self):
        """Returns the checks."""
        given = self._given
        rounds = []
        for concurrency, seconds in plan.rounds(given.seconds, given.concurrency):
            place = os.path.join(self._folder, f"concurrency-{concurrency}")
            semq = (Unlocked if given.self_test else Semq)(self._binary, os.path.join(place, "queue"))
            round = Round(
                place, semq, self._worker, given.seed, concurrency, seconds, self._mark, not given.self_test,
                given.without)
            rounds.append(round.run())
        old = self._old_rounds() if given.self_test else []
        report.figures(rounds + old)
        if given.self_test:
            return report.self_test(rounds, old)
        return report.checks(rounds, given.seconds, given.without)

    def _old_rounds(self):
        """Real faults of an earlier semq, each with what brings it about, for the oracle to find."""
        binary = os.environ.get("SEMQ_OLD_BINARY")
        if not binary:
            print("SEMQ_OLD_BINARY names no earlier semq, see scripts/build-commit: its faults are not shown to the oracle")
            return []
        found = []
        for name, concurrency, seconds, kind, plain in OLD:
            place = os.path.join(self._folder, f"old-{len(found)}")
            semq = Semq(binary, os.path.join(place, "queue"))
            round = Round(
                place, semq, self._worker, self._given.seed, concurrency, seconds, self._mark, True,
                [each for each in local_plan.FAULTS if each != kind], can_end=False, hurry=HURRY, plain=plain)
            round.name = name
            found.append(round.run())
        return found

    def end(self):
        pass
