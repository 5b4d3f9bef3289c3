#!/usr/bin/env python3
"""The board of ../board behind a network port, as a terminal server offers a serial line.

    port.py NUMBER PROGRESS

Whoever connects says `TOKEN N` first, the number that `semq` gave with the turn, and then talks to the board, which is
reset by that. The newest token has the line: an older connection is closed, and one that comes with an older token
is refused. So bytes that were still under way when a turn was lost don't get into the next one's image.
"""
import pathlib
import selectors
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "board"))

from board import CHUNK, Board


class Port(Board):
    def __init__(self, number, progress):
        self.selector = selectors.DefaultSelector()
        listener = socket.create_server(("", number))
        self.selector.register(listener, selectors.EVENT_READ, lambda: self.accept(listener))
        self.progress = progress
        self.client, self.newest = None, 0
        self.reset()

    def reset(self):
        self.command, self.buffer, self.size = b"", None, 0

    def run(self):
        while True:
            for key, _ in self.selector.select():
                key.data()

    def accept(self, listener):
        client, _ = listener.accept()
        client.settimeout(5)
        try:
            word, token = client.makefile("rb", buffering=0).readline(CHUNK).split()
            token = int(token)
        except (OSError, ValueError):
            word = b""
        if word != b"TOKEN" or token < self.newest:
            client.close()
            return
        self.hang_up()
        self.client, self.newest = client, token
        self.selector.register(client, selectors.EVENT_READ, self.read)
        self.reset()

    def read(self):
        try:
            chunk = self.client.recv(CHUNK)
        except OSError:
            chunk = b""
        for byte in chunk:
            self.receive(bytes([byte]))
        if not chunk:
            self.hang_up()

    def hang_up(self):
        if self.client:
            self.selector.unregister(self.client)
            self.client.close()
        self.client = None

    def answer(self, text):
        try:
            self.client.sendall(text.encode() + b"\n")
        except OSError:
            pass  # nobody listens any more


if __name__ == "__main__":
    Port(int(sys.argv[1]), sys.argv[2]).run()
