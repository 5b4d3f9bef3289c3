"""A proxy between clients and one host that spoils connections at an exact byte, or when it is told.

A rule says when and what: {"direction": "up" | "down", "at": PHASE, "after": BYTES, "do": ACTION, "times": N}

    up is what the client sends, down what the host sends.
    PHASE   accept    the connection is there, nothing has passed
            banner, kexinit, kex, newkeys    the first such line or packet is about to pass; the host can't answer
                      what didn't
            encrypted what follows newkeys
            None      the first byte
    BYTES   so many more pass first
    ACTION  drop      the connection's packets vanish from now on, at both ends
            silence   both ends are kept open, and nothing passes
            pause     nothing passes until “resume”; then all that was held does
            reset     both ends get a TCP reset
            close     both ends get an end of file, and resets for what they send
            half      the receiver gets an end of file; the other direction goes on
            drip      from here on one byte passes each {"seconds"}
            flip      the next byte is another
            insert    {"text"} or so many {"bytes"} at random come in between
    N       how many connections it hits; all if None

“act” does the same at once, to one connection or all; “resume” and “heal” take back pause and drop.
"""

import collections
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import time

import kernel

ACTIONS = {"drop", "silence", "pause", "reset", "close", "half", "drip", "flip", "insert", "resume", "heal"}
PHASES = {None, "accept", "banner", "kexinit", "kex", "newkeys", "encrypted"}
_TYPES = {20: "kexinit", 21: "newkeys", 30: "kex", 31: "kex"}
_BUFFER = 1 << 20


class Proxy:
    """The lab's side."""

    def __init__(self, address, port, target, delay):
        ours, theirs = socket.socketpair()
        self.address = address
        self._pid = os.fork()
        if self._pid == 0:
            try:
                ours.close()
                kernel.die_with_parent()
                _Server(theirs, address, port, target, delay).run()
            finally:
                os._exit(1)
        theirs.close()
        self._channel = ours.makefile("rw")
        ours.close()
        self._answer()

    def ask(self, **request):
        if request.get("do") not in ACTIONS | {"rule", "report"}:
            raise RuntimeError(f"a proxy does not {request.get('do')}; it does {', '.join(sorted(ACTIONS))}")
        print(json.dumps(request), file=self._channel, flush=True)
        return self._answer()

    def _answer(self):
        line = self._channel.readline()
        if not line:
            raise RuntimeError("the proxy ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def end(self):
        os.kill(self._pid, signal.SIGKILL)
        self._channel.close()
        os.waitpid(self._pid, 0)


def check_rule(rule):
    """What is wrong with a rule; None if nothing is."""
    unknown = set(rule) - {"direction", "at", "after", "do", "times", "seconds", "text", "bytes"}
    if unknown:
        return f"a rule has no {', '.join(sorted(unknown))}"
    if rule.get("direction", "down") not in ("up", "down"):
        return f"a direction is up or down, not {rule['direction']}"
    if rule.get("at") not in PHASES:
        return f"a phase is one of {', '.join(sorted(PHASES - {None}))}, not {rule['at']}"
    if rule.get("do") not in ACTIONS - {"resume", "heal"}:
        return f"a rule does one of {', '.join(sorted(ACTIONS - {'resume', 'heal'}))}, not {rule.get('do')}"
    return None


class _Server:
    def __init__(self, channel, address, port, target, delay):
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.closerange(3, channel.fileno())
        os.closerange(channel.fileno() + 1, 1024)
        kernel.name_process("semq-proxy")
        self.selector = selectors.DefaultSelector()
        self.address, self.target, self.delay = address, target, delay
        self.rules, self.connections = [], []
        self.channel = channel
        self._words = channel.makefile("rw")
        self._listener = socket.create_server((address, port), backlog=512)
        self.selector.register(self._listener, selectors.EVENT_READ, lambda _: self._accept())
        self.selector.register(channel, selectors.EVENT_READ, lambda _: self._command())
        self._say()

    def _say(self, **answer):
        print(json.dumps(answer), file=self._words, flush=True)

    def _accept(self):
        client, peer = self._listener.accept()
        rules = []
        for rule in self.rules:
            if rule["times"] is None or rule["times"] > 0:
                rules.append(rule)
                rule["times"] = rule["times"] and rule["times"] - 1
        self.connections.append(_Connection(self, len(self.connections), client, peer, rules))

    def _command(self):
        line = self._words.readline()
        if not line:
            os._exit(0)
        request = json.loads(line)
        action = request.pop("do")
        try:
            if action == "rule":
                self.rules = [{"times": None, **rule} for rule in request["rules"]]
            elif action != "report":
                chosen = request.pop("connection", None)
                for each in self.connections:
                    if chosen in (None, each.number):
                        each.act(action, each.streams[request.get("direction", "down")], request)
            self._say(connections=[each.report() for each in self.connections])
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            self._say(error=repr(error))

    def run(self):
        while True:
            now = time.monotonic()
            due = [stream.due for each in self.connections for stream in each.streams.values() if stream.due]
            wait = max(0, min(due) - now) if due else None
            for key, events in self.selector.select(wait):
                if key.fileobj.fileno() >= 0:
                    key.data(events)
            for each in self.connections:
                if each.state == "open":
                    for stream in each.streams.values():
                        stream.flush()


class _Connection:
    def __init__(self, server, number, client, peer, rules):
        self.server, self.number, self.client, self.peer = server, number, client, peer
        self.fired, self.state, self._filter = [], "open", []
        self.host = socket.socket()
        self.streams = {}
        for name, source, sink in (("up", client, self.host), ("down", self.host, client)):
            self.streams[name] = _Stream(self, name, source, sink, [each for each in rules if _direction(each) == name])
        for rule in rules:
            if rule.get("at") == "accept" and self.state == "open":
                self.fire(rule, self.streams[_direction(rule)])
        self._connects = False
        self._connect()

    def _connect(self):
        if self.state != "open" or self._connects:
            return
        self._connects = True
        for each in (self.client, self.host):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            each.setblocking(False)
        self.host.bind((self.server.address, 0))
        self.host.connect_ex(self.server.target)
        self.server.selector.register(self.host, selectors.EVENT_WRITE, lambda _: self._connected())

    def _connected(self):
        self._forget(self.host)
        if self.host.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.act("reset")
            return
        for stream in self.streams.values():
            stream.start()

    def fire(self, rule, stream):
        self.fired.append({"do": rule["do"], "direction": stream.name, "offset": stream.offset})
        self.act(rule["do"], stream, rule)

    def act(self, action, stream=None, details=None):
        details = details or {}
        if self.state in ("reset", "closed"):
            return
        if action == "drop":
            self._drop()
        elif action == "heal":
            self._heal()
        elif action == "silence":
            self.state = "silent"
        elif action == "pause":
            self.state = "paused"
        elif action == "resume" and self.state == "paused":
            self.state = "open"
            self._connect()
        elif action in ("reset", "close"):
            self._end(action)
        elif action == "half":
            stream.end()
        elif action == "drip":
            stream.drip = details.get("seconds", 0.05)
        elif action == "flip":
            stream.flips = True
        elif action == "insert":
            text = details.get("text")
            stream.insert(os.urandom(details.get("bytes", 64)) if text is None else text.encode())

    def _end(self, action):
        self.state = "reset" if action == "reset" else "closed"
        for each in (self.client, self.host):
            self._forget(each)
            if action == "reset":
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()

    def _forget(self, each):
        try:
            self.server.selector.unregister(each)
        except (KeyError, ValueError):
            pass

    def _drop(self):
        """By the packet filter of the switch, where this end of both connections is."""
        if self._filter:
            return
        self.state = "dropped"
        ends = [(self.client, self.peer)]
        if self.host.getsockname()[1]:
            ends.append((self.host, self.server.target))
        for ours, (address, port) in ends:
            mine = ours.getsockname()[1]
            self._filter += [
                ["INPUT", "-p", "tcp", "-s", address, "--sport", str(port), "--dport", str(mine), "-j", "DROP"],
                ["OUTPUT", "-p", "tcp", "-d", address, "--dport", str(port), "--sport", str(mine), "-j", "DROP"],
            ]
        for rule in self._filter:
            subprocess.run(["iptables", "-w", "-A", *rule], check=True)

    def _heal(self):
        for rule in self._filter:
            subprocess.run(["iptables", "-w", "-D", *rule], check=True)
        self._filter = []
        if self.state == "dropped":
            self.state = "open"
            self._connect()

    def report(self):
        streams = {
            name: {"bytes": stream.offset, "phases": stream.marks, "ended": stream.ended}
            for name, stream in self.streams.items()
        }
        return {"number": self.number, "peer": self.peer[0], "state": self.state, "fired": self.fired, **streams}


def _direction(rule):
    return rule.get("direction", "down")


class _Stream:
    """One direction. What comes in is cut where a rule is due, and waits until its time has come."""

    def __init__(self, connection, name, source, sink, rules):
        self.connection, self.name, self.source, self.sink = connection, name, source, sink
        self._rules = [each for each in rules if each.get("at") != "accept"]
        self._parts = _Parts()
        self._queue, self._queued = collections.deque(), 0
        # Bytes that were let pass; where each phase began.
        self.offset, self.marks = 0, {}
        self.due, self.drip, self.flips = None, 0, False
        self.ended = False
        self._started = self._finished = False

    def start(self):
        self._started = True
        if self.ended:
            # Since before there was anybody at the other end.
            self._shut()
        self._watch()
        self._fire_due()

    def _watch(self):
        if self._finished or self.source.fileno() < 0:
            return
        selector = self.connection.server.selector
        wanted, known = self._queued < _BUFFER, self.source.fileno() in selector.get_map()
        if known and not wanted:
            selector.unregister(self.source)
        elif wanted and not known:
            selector.register(self.source, selectors.EVENT_READ, lambda _: self._read())

    def _read(self):
        try:
            data = self.source.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self.connection.act("reset")
            return
        if self.connection.state == "silent" and data:
            return
        due = time.monotonic() + self.connection.server.delay
        if data:
            for phase, part in self._parts.feed(data):
                self._push(due, phase, part)
        else:
            for phase, part in self._parts.rest():
                self._push(due, phase, part)
            self._finished = True
            self.connection.server.selector.unregister(self.source)
            self._queue.append((due, None, None))
        self.flush()

    def _push(self, due, phase, part):
        self._queue.append((due, phase, part))
        self._queued += len(part)

    def insert(self, data):
        """Not counted among what passes."""
        self.sink.settimeout(5)
        try:
            self.sink.sendall(data)
        except OSError:
            self.connection.act("reset")
        else:
            self.sink.setblocking(False)

    def flush(self):
        """Lets pass what is due."""
        self.due = None
        if not self._started:
            return
        while self._queue and self.connection.state == "open":
            due, phase, part = self._queue[0]
            now = time.monotonic()
            if due > now:
                self.due = due
                break
            if part is None:
                self._queue.popleft()
                self.end()
                break
            if phase and phase not in self.marks:
                self.marks[phase] = self.offset
                if self._fire_due():
                    continue
            if not self._pass(due, part):
                break
        self._watch()

    def _pass(self, due, part):
        """Sends the first piece, up to the next rule; whether there may be more at once."""
        size = min((rule_offset - self.offset for rule_offset in self._offsets()), default=len(part))
        size = min(len(part), size, 1 if self.drip else len(part))
        piece = bytes((part[0] ^ 0x55,)) + part[1:size] if self.flips and size else part[:size]
        if self.ended:
            sent = size
        else:
            try:
                sent = self.sink.send(piece)
            except BlockingIOError:
                # Looked at again soon: simpler than to be woken by both sockets for two reasons each.
                self.due = time.monotonic() + 0.001
                return False
            except OSError:
                self.connection.act("reset")
                return False
        self.flips = self.flips and not sent
        self.offset += sent
        self._queued -= sent
        self._queue.popleft()
        if sent < len(part):
            self._queue.appendleft((time.monotonic() + self.drip if self.drip else due, None, part[sent:]))
        elif self.drip and self._queue:
            _, phase, following = self._queue.popleft()
            self._queue.appendleft((time.monotonic() + self.drip, phase, following))
        self._fire_due()
        return True

    def _offsets(self):
        return [offset for offset, _ in self._armed()]

    def _armed(self):
        for rule in self._rules:
            start = 0 if rule.get("at") is None else self.marks.get(rule["at"])
            if start is not None:
                yield start + rule.get("after", 0), rule

    def _fire_due(self):
        """Does what rules say for this byte; whether there was any."""
        chosen = [rule for offset, rule in self._armed() if offset <= self.offset]
        for rule in chosen:
            self._rules.remove(rule)
            self.connection.fire(rule, self)
        return bool(chosen)

    def end(self):
        if not self.ended:
            self.ended = True
            self._shut()
        if all(stream.ended and stream._finished for stream in self.connection.streams.values()):
            self.connection.act("close")

    def _shut(self):
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class _Parts:
    """Cuts a stream of SSH into lines and packets as long as these can be read, each with its phase's name."""

    def __init__(self):
        self._held, self._state = b"", "banner"

    def feed(self, data):
        self._held += data
        parts = []
        while part := self._next():
            parts.append(part)
        return parts

    def rest(self):
        held, self._held = self._held, b""
        return [(None, held)] if held else []

    def _next(self):
        if self._state == "banner":
            size = self._held.find(b"\n") + 1
            if size:
                self._state = "packets" if self._held.startswith(b"SSH-") else "banner"
                return ("banner", self._cut(size))
            if len(self._held) > 8192:
                self._state = "unknown"
        elif self._state == "packets" and len(self._held) >= 6:
            size = 4 + struct.unpack(">I", self._held[:4])[0]
            kind = _TYPES.get(self._held[5])
            if size > 65536:
                self._state = "unknown"
            elif len(self._held) >= size:
                if kind == "newkeys":
                    self._state = "encrypted"
                return (kind, self._cut(size))
        if self._held and self._state in ("encrypted", "unknown"):
            phase = "encrypted" if self._state == "encrypted" else None
            return (phase, self._cut(len(self._held)))
        return None

    def _cut(self, size):
        part, self._held = self._held[:size], self._held[size:]
        return part
