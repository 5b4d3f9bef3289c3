"""The SSH side of a lab: keys, and the files that clients and servers read."""

import os
import shutil
import subprocess

CONFIGURATION = "/etc/ssh/semq_sshd_config"
LOG = "/var/log/sshd.log"


class Keys:
    """Made at run time, in a folder that is gone with the lab."""

    def __init__(self, folder):
        self._folder = folder
        os.makedirs(folder, mode=0o700)

    def pair(self, name, kind, *options):
        """The private key's text and the public key's line."""
        path = f"{self._folder}/{name}.{kind}"
        if not os.path.exists(path):
            words = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", path, *options]
            subprocess.run(words, stdin=subprocess.DEVNULL, check=True)
        with open(path) as private, open(f"{path}.pub") as public:
            return private.read(), public.read().strip()


def server_files(keys, host, options):
    """Path and text of what sshd reads; the second value is the public host keys."""
    files, public, lines = {}, [], []
    for kind in options["host_keys"]:
        secret, line = keys.pair(host, kind, *(("-b", "2048") if kind == "rsa" else ()))
        files[f"/etc/ssh/semq_host_{kind}"] = secret
        public.append(" ".join(line.split()[:2]))
        lines.append(f"HostKey /etc/ssh/semq_host_{kind}")
    # The first value counts in sshd_config; what follows a Match line belongs to it, so that comes last.
    extra = options["config"]
    first = next((number for number, line in enumerate(extra) if line.lower().startswith("match")), len(extra))
    lines = [
        *extra[:first],
        f"Port {options['port']}",
        *lines,
        "UsePAM no",
        "UseDNS no",
        "PermitRootLogin yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "AuthorizedKeysFile .ssh/authorized_keys",
        "PrintMotd no",
        "PrintLastLog no",
        "PidFile none",
        "LogLevel VERBOSE",
        "AcceptEnv LANG LC_*",
        "Subsystem sftp internal-sftp",
        *extra[first:],
    ]
    files[CONFIGURATION] = "".join(f"{line}\n" for line in lines)
    return files, public


def start(options):
    """The commands that start the server; the last leaves it running."""
    if options["server"] == "openssh":
        return [["/usr/sbin/sshd", "-f", CONFIGURATION, "-E", LOG]]
    keys = [f"/etc/ssh/semq_host_{kind}" for kind in options["host_keys"]]
    words = ["dropbear", "-F", "-E", "-p", str(options["port"]), *(f"-r{key}.dropbear" for key in keys)]
    # An empty standard output would be waited for, hence the file.
    line = f'exec setsid "$@" </dev/null >>{LOG} 2>&1 &'
    return [
        *(["dropbearconvert", "openssh", "dropbear", key, f"{key}.dropbear"] for key in keys),
        ["/bin/sh", "-c", line, "sh", *words, *options["config"]],
    ]


def known_hosts_lines(names, port, public):
    """A line for each key and all names and addresses of a host."""
    hosts = ",".join(name if port == 22 else f"[{name}]:{port}" for name in names)
    return [f"{hosts} {key}" for key in public]


def client_files(home, secret, public):
    """The .ssh of a client, in the places where ssh looks by itself."""
    os.makedirs(f"{home}/.ssh", mode=0o700, exist_ok=True)
    for name, text in (("id_ed25519", secret), ("id_ed25519.pub", f"{public}\n"), ("known_hosts", ""), ("config", "")):
        path = f"{home}/.ssh/{name}"
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o644 if name.endswith(".pub") else 0o600)


def outside_defaults(home):
    """What a client must be told whose home is another folder: OpenSSH takes ~ from passwd, not from $HOME."""
    return (
        "Host *\n"
        f"    IdentityFile {home}/.ssh/id_ed25519\n"
        f"    UserKnownHostsFile {home}/.ssh/known_hosts\n"
        "    GlobalKnownHostsFile /dev/null\n"
    )


def programs(folder, configuration):
    """ssh, scp and sftp that use this configuration, for who can't have a home of his own."""
    os.makedirs(folder)
    for name in ("ssh", "scp", "sftp"):
        path = f"{folder}/{name}"
        with open(path, "w") as file:
            file.write(f'#!/bin/sh\nexec {shutil.which(name)} -F {configuration} "$@"\n')
        os.chmod(path, 0o755)
