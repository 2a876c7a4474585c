"""What this machine has left, and what this process has taken."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def peak_memory() -> int:
    """The most memory, in bytes, that this process and its ended children have taken.

    The children count as if the largest of them had been there at the peak: it bounds what both took at once.
    """
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    if (own := _high_water_mark()) is None:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return own + children


def _high_water_mark() -> int | None:
    """Linux' own word for the peak: `ru_maxrss` begins at what the parent had taken when it started this process."""
    try:
        lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
        return next(int(parts[1]) * 1024 for parts in lines if parts and parts[0] == "VmHWM:")
    except (OSError, StopIteration):
        return None


def available_memory(cgroup: Path = _CGROUP) -> int:
    """How much memory, in bytes, a new process can take: of the machine, or of the container that this runs in."""
    available = int(psutil.virtual_memory().available)
    try:
        limit = int((cgroup / "memory.max").read_text())
        taken = int((cgroup / "memory.current").read_text())
        lines = (line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        cache = next(int(number) for name, number in lines if name == "inactive_file")
    except (OSError, ValueError, StopIteration):  # no container, or one without a limit
        return available
    return min(available, max(0, limit - (taken - cache)))
