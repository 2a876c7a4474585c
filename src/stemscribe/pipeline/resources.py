"""What this machine has left, and what this process has taken."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
# Of glibc's malloc.h: what `mallopt` can set, and what it is from the start.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
_USUAL_MMAP_MAX = 65536
_LARGE, _KEPT, _NEVER = 4 << 20, 32 << 20, (1 << 31) - 1


def give_memory_back() -> None:
    """Have this process return every large block to the system as soon as nobody needs it.

    Left alone, glibc keeps blocks of up to 32 MB for later once some of that size were freed, and holes between them:
    with HTDemucs on OpenVINO 1101 MB at the peak and 1095 MB after it, instead of 1020 MB and 965 MB, and another
    number in every run. Smaller blocks than 4 MB are kept: from 1 MB on, there were half as many page faults again for
    40 MB less. All threads take from one heap, so that what one has freed serves the others; of its end, up to 32 MB
    are kept, until they are trimmed, or every array of an eighth of a megabyte would be cleared by the system anew: a
    spectrogram took twice the time. Other systems have nothing of the kind.
    """
    _tell_malloc((_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _KEPT), (_ARENA_MAX, 1))


def trim_memory() -> None:
    """Return to the system what lies free between blocks that are in use.

    What one stage has left lying would be counted with the next; and within a stage, holes add up with the length of
    the film: without this 524 MB at the peak of separating three minutes, and 540 MB of twenty; with it 506 and 508.
    """
    _tell_malloc(trim=True)


@contextmanager
def keeping_memory() -> Iterator[None]:
    """Have this process keep what is freed for as long as this lasts, and give it back then.

    For a model that asks for the same large blocks again and again: where they are given back each time, the system has
    to clear every page of them anew, and Whisper hears a quarter more slowly, to have 14 MB less at its peak.
    """
    _tell_malloc((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER))
    try:
        yield
    finally:
        _tell_malloc((_MMAP_MAX, _USUAL_MMAP_MAX), (_TRIM_THRESHOLD, _KEPT), trim=True)


def _tell_malloc(*options: tuple[int, int], trim: bool = False) -> None:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # musl has no such calls
            glibc = ctypes.CDLL(None)
            for option, value in options:
                glibc.mallopt(option, value)
            if trim:
                glibc.malloc_trim(0)


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


def taken_memory() -> int:
    """The most memory, in bytes, that this process and those of its children that live have taken so far.

    Children that ended do not count: the rehearsal was one.
    """
    own = psutil.Process()
    total = _most_taken(own)
    for child in own.children(recursive=True):
        with suppress(psutil.Error):  # it ended while we looked
            total += _most_taken(child)
    return total


def _most_taken(process: psutil.Process) -> int:
    """The peak of a process where the system tells it, else what it takes now."""
    memory = process.memory_info()
    return _high_water_mark(process.pid) or int(getattr(memory, "peak_wset", memory.rss))


def _high_water_mark(process: int | str = "self") -> int | None:
    """Linux' own word for the peak: `ru_maxrss` begins at what the parent had taken when it started this process."""
    try:
        lines = (line.split() for line in Path(f"/proc/{process}/status").read_text().splitlines())
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
