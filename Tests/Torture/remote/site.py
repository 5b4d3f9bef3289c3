"""The hosts of a remote run: one with the semaphores, several with clients. Made once, used by all rounds."""

import os
import shutil
import subprocess

from remote import plan
from remote.lab import Lab
from remote.seat import Seat

SEMAPHORES = "bench"
USER = "lab"
STRANGER = 64126
# A connection that was cut before anybody logged in is not to be taken for a leak.
GRACE = 8
CONFIG = [f"LoginGraceTime {GRACE}"]


class Site:
    def __init__(self, folder, binary, program, impostor):
        """`folder` is seen by all hosts at the same path; `program` is the seat's, in it."""
        self.lab = Lab()
        self._program = program
        self._impostor = impostor
        self._heard = os.path.join(folder, "impostor.log")
        open(self._heard, "w").close()
        os.chmod(self._heard, 0o666)
        self._impostors = []
        self.seats = []
        self._create(Seat(0, SEMAPHORES, plan.LOCAL, is_local=True), binary, sshd={"config": CONFIG}, see=[folder])
        for number in range(plan.HOSTS):
            self._create(Seat(number + 1, f"desk{number + 1}", plan.EACH), binary, client=True, see=[folder])
        # Puts semq onto the semaphores' host, so that no fault hits that.
        words = ["semq", "acquire", f"{USER}@{SEMAPHORES}:first.queue", "--", "true"]
        self.run(self.desks[0], *words, check=True, capture_output=True)

    @property
    def bench(self):
        return self.seats[0]

    @property
    def desks(self):
        return self.seats[1:]

    def _create(self, seat, binary, **spec):
        about = self.lab.ask(do="create", name=seat.name, **spec)
        seat.root = about["root"]
        if binary:
            path = f"{seat.root}/usr/local/bin/semq"
            shutil.copy(binary, path)
            os.chmod(path, 0o755)
        self.seats.append(seat)
        if seat.is_local:
            self._note_root(self.lab.ask(do="words", name=seat.name))
        self._sit_down(seat, about["init"], self.lab.ask(do="words", name=seat.name, user=USER))

    def _sit_down(self, seat, init, answer):
        seat.words = answer["words"]
        seat.sit_down(init, seat.words, self._program)
        if seat.is_local:
            # After each other boot it is where the agents' folder would be before they are.
            words = [*self._as_root, self._impostor, self._heard, str(STRANGER), str(seat.boots % 2)]
            self._impostors.append(subprocess.Popen(words, stdin=subprocess.DEVNULL))

    def _note_root(self, answer):
        self._as_root = answer["words"]

    def impostor_said(self):
        """Texts by kind, see impostor.c, since the last call."""
        found = {"N": [], "K": [], "H": []}
        with open(self._heard, "r+") as file:
            for line in file:
                found[line[0]].append(line[2:].rstrip("\n"))
            file.truncate(0)
        return found

    def off(self, seat, done):
        """All its processes die; nobody on the network is told. `done` is called when that is so."""
        # Nobody gets in before all is ready again.
        self.lab.post(lambda _: None, do="drop", name=seat.name)
        self.lab.post(lambda _: done(), do="off", name=seat.name)

    def boot(self, seat, done):
        """Switches a host on again, and calls `done` when it is ready for jobs.

        It keeps its boot's id, for its clock goes on: where another boot has lasted as long as this clock says, nobody
        need wait for what was before.
        """
        path = f"{seat.root}/run/boot_id"
        with open(path) as file:
            boot = file.read()

        def booted(about):
            with open(path, "w") as file:
                file.write(boot)
            self.lab.post(lambda _: None, do="heal", name=seat.name)
            if seat.is_local:
                self.lab.post(self._note_root, do="words", name=seat.name)
            self.lab.post(lambda answer: ready(about["init"], answer), do="words", name=seat.name, user=USER)

        def ready(init, answer):
            self._sit_down(seat, init, answer)
            done()

        self.lab.post(booted, do="boot", name=seat.name)

    def run(self, seat, *words, **how):
        """Runs a program on a host to its end."""
        return subprocess.run([*seat.words, *words], stdin=subprocess.DEVNULL, text=True, **how)

    def end(self):
        for seat in self.seats:
            seat.stand_up()
        self.lab.end()
        for impostor in self._impostors:
            impostor.wait()
