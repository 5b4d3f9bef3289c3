"""System calls that Python 3.11 has no function for."""

import ctypes
import os
import signal

NEWNS, NEWUTS, NEWIPC, NEWPID, NEWNET, NEWTIME = 0x00020000, 0x04000000, 0x08000000, 0x20000000, 0x40000000, 0x80

BIND, REC, PRIVATE, MOVE = 0x1000, 0x4000, 1 << 18, 0x2000
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT = 1, 2, 4, 8, 32
DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *arguments):
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments}: {os.strerror(number)}")


def unshare(flags):
    _call("unshare", ctypes.c_int(flags))


def setns(descriptor, kind=0):
    _call("setns", ctypes.c_int(descriptor), ctypes.c_int(kind))


def mount(source, target, kind=None, flags=0, data=None):
    _call(
        "mount",
        *(text and text.encode() for text in (source, target, kind)),
        ctypes.c_ulong(flags),
        data and data.encode(),
    )


def unmount(target, flags=DETACH):
    _call("umount2", target.encode(), ctypes.c_int(flags))


def become_root(folder):
    """The folder, a mount, is / from now on, and what was / is gone from this mount namespace."""
    os.chdir(folder)
    _call("pivot_root", b".", b".")
    unmount(".")
    os.chdir("/")


def name_host(name):
    text = name.encode()
    _call("sethostname", text, ctypes.c_size_t(len(text)))


def name_process(name):
    _call("prctl", 15, name.encode(), 0, 0, 0)


def die_with_parent():
    """SIGKILL for this process when the one that forked it ends, however that ends."""
    parent = os.getppid()
    _call("prctl", 1, signal.SIGKILL, 0, 0, 0)
    # From a new pid namespace the parent is 0 from the first moment on, alive or not.
    if parent > 1 and os.getppid() != parent:
        os._exit(1)
