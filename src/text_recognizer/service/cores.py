"""How many processor cores this process may use, within the limits of its container."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def cores(system: Path = Path("/")) -> int:
    """The number of cores in the process's affinity, or fewer if a control group limits its time; rounded up.

    A limit such as `--cpus 1.5` does not hide cores from a process, so one thread for each visible core would be too
    many. Control groups of versions 1 and 2 are read below `system` (`/proc/self/cgroup`, `/sys/fs/cgroup`). A file
    that cannot be read sets no limit.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(math.ceil(share) for share in _shares(system))]))


def _shares(system: Path) -> Iterator[float]:
    """The processor time of each control group around this process, in cores."""
    mount = system / "sys" / "fs" / "cgroup"
    try:
        entries = (system / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        entries = []
    # Inside a container the path may be the host's and not exist; the group is then the mount itself.
    found = {mount, mount / "cpu"}
    for entry in entries:
        _, controllers, path = (*entry.split(":", 2), "", "")[:3]
        if controllers == "":
            top = mount
        elif "cpu" in controllers.split(","):
            top = mount / "cpu"
        else:
            continue
        group = top / path.lstrip("/")
        found |= {group, *(parent for parent in group.parents if parent.is_relative_to(top))}
    for folder in found:
        # "150000 100000", or "max 100000" for no limit. Version 1 has one file for each number, and -1 for no limit.
        limit = _words(folder / "cpu.max") or _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        match [int(word) for word in limit if word.isdecimal()]:
            case [quota, period] if quota > 0 and period > 0:
                yield quota / period


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, UnicodeError):
        return []
