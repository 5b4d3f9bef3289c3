"""A run on this machine: a round for each concurrency."""

import os
import shutil

import plan
from local import plan as local_plan, report
from local.round import Round
from semq import Semq, Unlocked


class LocalRun:
    plan = local_plan

    def __init__(self, given, binary, folder, mark, compile_program):
        self._given, self._binary, self._folder, self._mark = given, binary, folder, mark
        self._worker = compile_program("worker.c", folder)
        self._prepare_root()

    def _prepare_root(self):
        """What makes itself another user's, as `sudo` does."""
        root = os.path.join(self._folder, "asroot")
        shutil.copy(self._worker, root)
        os.chmod(root, 0o4755)
        os.chmod(self._folder, 0o755)

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
        report.figures(rounds)
        return report.self_test(rounds) if given.self_test else report.checks(rounds, given.seconds, given.without)

    def end(self):
        pass
