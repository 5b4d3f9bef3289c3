#!/usr/bin/env python3
"""A board at the end of a serial line, played by a pseudo-terminal.

    board.py LINE PROGRESS

Makes LINE a link to the terminal that scripts talk to. Its bootloader knows one command, `LOAD SIZE`. The next
SIZE bytes on the line are the image, whoever sent them: a serial line has one receive buffer, and no idea of who
writes. For each 128 bytes it answers `.`, and at the end it boots and answers `BOOTED` with the checksum of
what it got. It takes its time, like flash memory. PROGRESS is a file that tells how far it is.
"""
import hashlib
import os
import pty
import sys
import time
import tty

CHUNK = 128
WRITING = 0.05  # seconds for a chunk
BOOTING = 0.3


class Board:
    def __init__(self, line, progress):
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.symlink(os.ttyname(self.slave), line)
        self.progress = progress
        self.command = b""
        self.buffer, self.size = None, 0

    def run(self):
        while True:
            for byte in os.read(self.master, CHUNK):
                self.receive(bytes([byte]))

    def receive(self, byte):
        if self.buffer is None:
            self.command += byte
            if byte == b"\n":
                self.obey(self.command.split())
                self.command = b""
            return
        self.buffer += byte
        if len(self.buffer) % CHUNK == 0:
            time.sleep(WRITING)
            self.answer(".")
            self.tell("writing")
        if len(self.buffer) == self.size:
            self.boot()

    def obey(self, words):
        if len(words) == 2 and words[0] == b"LOAD" and words[1].isdigit():
            self.buffer, self.size = bytearray(), int(words[1])
            self.answer("READY")
            self.tell("writing")
        else:
            self.answer("?")

    def boot(self):
        self.tell("booting")
        time.sleep(BOOTING)
        booted = hashlib.sha256(self.buffer).hexdigest()[:8]
        self.answer("BOOTED " + booted)
        self.buffer = None
        self.tell(booted)

    def answer(self, text):
        os.write(self.master, text.encode() + b"\n")

    def tell(self, state):
        text = f"{state} {len(self.buffer or b'')} {self.size}"
        with open(self.progress + ".new", "w") as file:
            file.write(text)
        os.rename(self.progress + ".new", self.progress)


if __name__ == "__main__":
    Board(sys.argv[1], sys.argv[2]).run()
