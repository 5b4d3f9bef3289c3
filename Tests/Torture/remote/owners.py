"""Whose a link, an agent or a session is: the number of the job that it serves, None where that isn't known.

A client's processes have it in their environment. Those on the semaphore's host serve a connection, whose other end is a
link's; it is remembered, for an agent outlives both.
"""

from ipaddress import ip_address

VARIABLE = "TORTURE_JOB"  # set by seat.c


class Owners:
    def __init__(self, site):
        self._site = site
        self._ends = {}  # a link's (address, port): job

    def learn(self, census):
        for desk in self._site.desks:
            for link in census.on(desk.init):
                if link.is_link() and (number := self.of_link(link)) is not None:
                    self._ends.update((local, number) for local, _ in link.connections())

    @staticmethod
    def of_link(link):
        number = link.variable(VARIABLE)
        return int(number) if number else None

    def of_agent(self, agent):
        """Of a relay, too."""
        words = (agent.variable("SSH_CONNECTION") or "").split()
        return self._ends.get((str(ip_address(words[0])), int(words[1]))) if len(words) == 4 else None

    def of_session(self, session):
        found = [self._ends[remote] for _, remote in session.connections() if remote in self._ends]
        return found[0] if found else None
