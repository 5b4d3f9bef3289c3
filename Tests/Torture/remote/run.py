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


class RemoteRun:
    plan = remote_plan

    def __init__(self, given, binary, folder, mark, compile_program):
        """The mark is for processes of this machine; those of test hosts end with these."""
        reason = obstacle()
        if reason:
            sys.exit(f"torture: no test hosts: {reason}")
        self._given, self._folder = given, folder
        os.chmod(folder, 0o755)
        self._worker = compile_program("worker.c", folder)
        prepare_root(self._worker, folder)
        self._site = Site(folder, binary, compile_program("remote/seat.c", folder), compile_program("remote/impostor.c", folder))

    def run(self):
        """Returns the checks."""
        given = self._given
        if given.self_test:
            unlocked = [self._round(each, UNLOCKED_SECONDS, locked=False) for each in given.concurrency]
            strays = [self._round(given.concurrency[0], STRAY_SECONDS, strays=True)]
            report.figures(unlocked + strays)
            return report.self_test(unlocked, strays)
        rounds = [self._round(*each) for each in plan.rounds(given.seconds, given.concurrency)]
        report.figures(rounds)
        return report.checks(rounds, given.seconds, given.without)

    def _round(self, concurrency, seconds, locked=True, strays=False):
        name = f"concurrency-{concurrency}{'-unlocked' * (not locked)}{'-strays' * strays}"
        place, given = os.path.join(self._folder, name), self._given
        return Round(
            place, self._site, self._worker, given.seed, concurrency, seconds, locked, given.without, strays).run()

    def end(self):
        self._site.end()
