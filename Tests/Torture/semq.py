"""How semq is called, so that another way to reach a queue needs no other driver."""


class Semq:
    def __init__(self, binary, queue):
        self.binary = binary
        self.queue = queue

    def acquire(self, options, command):
        return [self.binary, "acquire", *options, self.queue, "--", *command]

    def acquire_with(self, other, options, command):
        """Both, the other queue first on the command line."""
        return [self.binary, "acquire", "--all", *options, other, self.queue, "--", *command]

    def release(self, ticket, grace):
        about = ("--ticket", str(ticket), "--reason", "torture", "--grace", str(grace))
        return [self.binary, "release", self.queue, *about]

    def set(self, *changes, queue=None):
        return [self.binary, "set", queue or self.queue, *changes]

    def status(self):
        return [self.binary, "status", self.queue, "--json"]


class Unlocked(Semq):
    """No semaphore at all: the oracle must notice."""

    def acquire(self, options, command):
        return command

    def acquire_with(self, other, options, command):
        return command
