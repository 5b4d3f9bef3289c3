"""The file tree of a host: an overlay of this machine's, with homes, configuration and temporary folders of its own."""

import glob
import os
import shutil

import kernel

# Where what is made is mounted, in mount namespaces of our own only: a folder that every Debian has and no checkout is in.
PLACE = "/boot"

_SYSTEM = {"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "root", "sbin", "sys", "usr", "var"}
_OWN = {"home": 0o755, "root": 0o700, "run": 0o755, "srv": 0o777, "tmp": 0o1777, "var/tmp": 0o1777}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def scratch():
    """A tmpfs that is gone with the mount namespace."""
    kernel.mount("none", "/", None, kernel.REC | kernel.PRIVATE)
    kernel.mount("semq-hosts", PLACE, "tmpfs", 0, "mode=755")


def overlay():
    """This machine's tree, to which changes can be made that go elsewhere; other mounts are not in it."""
    for name in ("changes", "work", "root"):
        os.mkdir(f"{PLACE}/{name}")
    options = f"lowerdir=/,upperdir={PLACE}/changes,workdir={PLACE}/work"
    kernel.mount("overlay", f"{PLACE}/root", "overlay", 0, options)
    return f"{PLACE}/root"


def enter(spec):
    """Builds the tree and makes it this process's /."""
    scratch()
    root = overlay()
    seen = [os.path.realpath(path) for path in spec["see"]]
    for name, mode in _OWN.items():
        os.makedirs(f"{root}/{name}", exist_ok=True)
        kernel.mount("semq-hosts", f"{root}/{name}", "tmpfs", kernel.NODEV, f"mode={mode:o}")
    if spec["bare"]:
        _strip(root)
    for path in seen:
        inside = root + path
        if os.path.isdir(path):
            os.makedirs(inside, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(inside), exist_ok=True)
            open(inside, "a").close()
        kernel.mount(path, inside, None, kernel.BIND | kernel.REC)
    _devices(root)
    _accounts(root, spec["users"])
    _names(root, spec["name"])
    kernel.become_root(root)


def _strip(root):
    """Nothing of what is being tested may be there: no semq, no libssh2, no checkout, no Swift."""
    for name in os.listdir(root):
        path = f"{root}/{name}"
        if name not in _SYSTEM and name not in _OWN and os.path.isdir(path) and not os.path.islink(path):
            kernel.mount("semq-hosts", path, "tmpfs", 0, "mode=755")
    kernel.mount("semq-hosts", f"{root}/usr/local", "tmpfs", 0, "mode=755")
    for name in ("bin", "sbin", "lib", "share"):
        os.mkdir(f"{root}/usr/local/{name}")
    patterns = ("usr/lib/*/libssh2*", "usr/lib/libssh2*", "usr/include/libssh2*", "usr/lib/*/pkgconfig/libssh2*")
    for pattern in (*patterns, "usr/bin/semq*", "usr/lib/semq*", "usr/share/semq*"):
        for path in glob.glob(f"{root}/{pattern}"):
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def _devices(root):
    kernel.mount("/dev", f"{root}/dev", None, kernel.BIND | kernel.REC)
    kernel.mount("devpts", f"{root}/dev/pts", "devpts", kernel.NOSUID | kernel.NOEXEC, "gid=5,mode=620,ptmxmode=666")
    kernel.mount("shm", f"{root}/dev/shm", "tmpfs", kernel.NOSUID | kernel.NODEV, "mode=1777")
    # Of the outer pid namespace, for those who set the host up; each boot mounts its own over it.
    kernel.mount("proc", f"{root}/proc", "proc")
    # Of its own network, too.
    kernel.mount("sysfs", f"{root}/sys", "sysfs")
    kernel.mount("/sys/fs/cgroup", f"{root}/sys/fs/cgroup", None, kernel.BIND | kernel.REC)


def _accounts(root, users):
    system = [line for line in _lines("/etc/passwd") if _is_system(line) and not line.startswith("root:")]
    names = {line.split(":")[0] for line in system}
    groups = [line for line in _lines("/etc/group") if _is_system(line)]
    passwd, shadow = [], [f"{name}:*:19000:0:99999:7:::" for name in names]
    for number, user in enumerate(users):
        uid = 0 if user["name"] == "root" else 1000 + number
        user["uid"], user["home"] = uid, "/root" if uid == 0 else f"/home/{user['name']}"
        passwd.append(f"{user['name']}:x:{uid}:{uid}:{user['name']}:{user['home']}:{user['shell']}")
        # “*” is no password that anybody can have, and no locked account either: sshd lets keys in.
        shadow.append(f"{user['name']}:*:19000:0:99999:7:::")
        if uid:
            groups.append(f"{user['name']}:x:{uid}:")
    _write(f"{root}/etc/passwd", "".join(f"{line}\n" for line in passwd + system))
    _write(f"{root}/etc/group", "".join(f"{line}\n" for line in groups))
    _write(f"{root}/etc/shadow", "".join(f"{line}\n" for line in shadow), 0o640)
    for user in users:
        _home(root, user)


def _is_system(line):
    uid = line.split(":")[2]
    return uid.isdigit() and (int(uid) < 1000 or int(uid) == 65534)


def _home(root, user):
    home, uid = root + user["home"], user["uid"]
    if uid:
        shutil.copytree("/etc/skel", home, symlinks=True)
        os.chmod(home, 0o755)
    os.makedirs(f"{home}/.ssh", mode=0o700, exist_ok=True)
    for name, text in user["files"].items():
        os.makedirs(os.path.dirname(f"{home}/{name}"), exist_ok=True)
        _write(f"{home}/{name}", text, 0o600 if name.startswith(".ssh/") else 0o644)
    for folder, _, files in os.walk(home):
        for path in (folder, *(f"{folder}/{name}" for name in files)):
            os.chown(path, uid, uid, follow_symlinks=False)


def _names(root, name):
    _write(f"{root}/etc/hostname", f"{name}\n")
    _write(f"{root}/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
    # No name server: a name that isn't in /etc/hosts is unknown at once.
    _write(f"{root}/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
    if os.path.islink(f"{root}/etc/resolv.conf"):
        os.unlink(f"{root}/etc/resolv.conf")
    _write(f"{root}/etc/resolv.conf", "")


def environment(user):
    return {
        "HOME": user["home"], "USER": user["name"], "LOGNAME": user["name"], "SHELL": user["shell"],
        "PATH": _PATH, "LANG": "C.UTF-8", "TERM": "dumb",
    }  # fmt: skip


def _lines(path):
    with open(path) as file:
        return file.read().splitlines()


def _write(path, text, mode=0o644):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
