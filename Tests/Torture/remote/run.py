"""A run on several hosts: a round for each concurrency, on hosts that are made once."""

import os
import sys

import plan
from remote import plan as remote_plan, report
from remote.lab import obstacle
from remote.round import Round
from processes import prepare_root
from remote.site import Site

# Of a self-test: rounds without locks, and one in which locks are lost and something survives.
UNLOCKED_SECONDS, STRAY_SECONDS = 3, 30
# And of one of an earlier semq, which is told to end more often than usual.
OLD_SECONDS, OLD_HURRY = 15, 10


class RemoteRun:
    plan = remote_plan

    def __init__(self, given, binary, folder, mark, compile_program):
        """The mark is for processes of this machine; those of test hosts end with these."""
        reason = obstacle()
        if reason:
            sys.exit(f"torture: no test hosts: {reason}")
        self._given, self._folder, self._compile = given, folder, compile_program
        os.chmod(folder, 0o755)
        self._worker = compile_program("worker.c", folder)
        prepare_root(self._worker, folder)
        self._site = self._make_site(binary)

    def _make_site(self, binary):
        programs = [self._compile(f"remote/{name}.c", self._folder) for name in ("seat", "impostor")]
        return Site(self._folder, binary, *programs)

    def run(self):
        """Returns the checks."""
        given = self._given
        if given.self_test:
            unlocked = [self._round(each, UNLOCKED_SECONDS, locked=False) for each in given.concurrency]
            strays = [self._round(given.concurrency[0], STRAY_SECONDS, strays=True)]
            old = self._old_rounds()
            report.figures(unlocked + strays + old)
            return report.self_test(unlocked, strays, old)
        rounds = [self._round(*each) for each in plan.rounds(given.seconds, given.concurrency)]
        report.figures(rounds)
        return report.checks(rounds, given.seconds, given.without)

    def _old_rounds(self):
        """Real faults of an earlier semq, on all hosts, for the oracle to find."""
        binary = os.environ.get("SEMQ_OLD_BINARY")
        if not binary:
            print("SEMQ_OLD_BINARY names no earlier semq, see scripts/build-commit: its faults are not shown to the oracle")
            return []
        self._site.end()
        self._site = self._make_site(binary)
        place = os.path.join(self._folder, "old")
        kinds = [kind for kind in remote_plan.FAULTS if kind != "SIGTERM semq holding"]
        round = Round(place, self._site, self._worker, self._given.seed, 1, OLD_SECONDS, True, kinds, can_end=False)
        round.hurry = OLD_HURRY
        return [round.run()]

    def _round(self, concurrency, seconds, locked=True, strays=False):
        name = f"concurrency-{concurrency}{'-unlocked' * (not locked)}{'-strays' * strays}"
        place, given = os.path.join(self._folder, name), self._given
        return Round(
            place, self._site, self._worker, given.seed, concurrency, seconds, locked, given.without, strays).run()

    def end(self):
        self._site.end()
