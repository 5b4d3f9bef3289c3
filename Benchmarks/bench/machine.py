"""What it was measured on. No names and no paths."""

import datetime
import os
import platform
import subprocess
from dataclasses import dataclass


@dataclass
class Machine:
    text: str

    @staticmethod
    def here(folder: str, peers: list[str]) -> "Machine":
        model = next(
            (line.split(":", 1)[1].strip() for line in lines("/proc/cpuinfo") if line.startswith("model name")),
            platform.machine(),
        )
        memory = next(int(line.split()[1]) for line in lines("/proc/meminfo") if line.startswith("MemTotal"))
        filesystem = subprocess.run(
            ["df", "--output=fstype", folder], capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        virtual = any(" hypervisor" in line for line in lines("/proc/cpuinfo"))
        load = os.getloadavg()
        return Machine(
            f"- {datetime.date.today()}; {os.cpu_count()} cores ({model}{', virtual' if virtual else ''}), "
            f"{memory / (1 << 20):.0f} GiB\n"
            f"- {platform.system()} {platform.release()}; queue and lock files on {filesystem}\n"
            f"- load average before and after: {load_before:.1f}, {load[0]:.1f}\n"
            f"- peers: {'; '.join(peers)}"
        )


load_before = os.getloadavg()[0]


def lines(path: str) -> list[str]:
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()
