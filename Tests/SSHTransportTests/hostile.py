"""A server that speaks SSH well and behaves badly: hostile.py PORT KEY DEED

Takes any key; on the first command it does its DEED:

    flood       sends messages that nobody asked for, without end
    questions   asks and asks, and reads no answer
    window      sends far more data than its client has asked for
    silent-end  closes the channel without having told a status
    status      tells status 7, then 0, then closes
    disconnect  says goodbye, with a reason
    requests    opens channels that nobody asked for
"""

import socket
import sys
import threading

import paramiko
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_REQUEST, MSG_DISCONNECT, MSG_GLOBAL_REQUEST, cMSG_CHANNEL_OPEN


class Host(paramiko.ServerInterface):
    def __init__(self, transport, deed):
        self.transport = transport
        self.deed = deed

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind, number):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=self.act, args=(channel,), daemon=True).start()
        return True

    def message(self, kind, *fields):
        message = paramiko.Message()
        message.add_byte(kind if isinstance(kind, bytes) else bytes([kind]))
        for field in fields:
            if isinstance(field, bool):
                message.add_boolean(field)
            elif isinstance(field, int):
                message.add_int(field)
            else:
                message.add_string(field)
        return message

    def send(self, *fields):
        self.transport._send_message(self.message(*fields))

    def act(self, channel):
        number = channel.remote_chanid
        if self.deed == "flood":
            while True:
                # A reply to a request that was never made; libssh2 keeps it.
                self.send(81, b"x" * 30000)
        elif self.deed == "questions":
            # What comes back is not read, so that it piles up at the client.
            self.transport.packetizer.read_message = lambda: threading.Event().wait()
            while True:
                self.send(MSG_GLOBAL_REQUEST, b"do you hear me", True)
        elif self.deed == "window":
            for _ in range(1000):
                self.send(MSG_CHANNEL_DATA, number, b"y" * 30000)
            self.send(97, number)
        elif self.deed == "silent-end":
            self.send(MSG_CHANNEL_DATA, number, b"fine\n")
            self.send(96, number)
            self.send(97, number)
        elif self.deed == "status":
            self.send(MSG_CHANNEL_REQUEST, number, b"exit-status", False, 7)
            self.send(MSG_CHANNEL_REQUEST, number, b"exit-status", False, 0)
            self.send(97, number)
        elif self.deed == "disconnect":
            self.send(MSG_DISCONNECT, 11, b"closing time\x1b[31m", b"")
        elif self.deed == "requests":
            for sender in range(1000):
                self.send(cMSG_CHANNEL_OPEN, b"x11", sender, 1 << 20, 1 << 15, b"nowhere", 6000)
                self.send(cMSG_CHANNEL_OPEN, b"forwarded-tcpip", sender, 1 << 20, 1 << 15, b"", 1, b"", 1)
            self.send(MSG_CHANNEL_REQUEST, number, b"exit-status", False, 5)
            self.send(96, number)
            self.send(97, number)


def main():
    port, key, deed = int(sys.argv[1]), paramiko.ECDSAKey(filename=sys.argv[2]), sys.argv[3]
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = listener.accept()
        transport = paramiko.Transport(connection)
        transport.add_server_key(key)
        # In the background: whoever hangs up harms nobody else.
        transport.start_server(event=threading.Event(), server=Host(transport, deed))


main()
