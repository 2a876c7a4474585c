"""Programs run side by side: whole processes, in turn, on the same machine in the same hour.

What one run takes says little on a machine that others use too; what two runs have to each other says more, when they
followed each other. So programs are run in rounds, each program once a round, every second round in the opposite order,
and ratios are made within a round. Of them there is the median, and how far they spread.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import psutil

from stemscribe.errors import StemscribeError

ROOT = Path(__file__).parents[1]
_SAMPLING_SECONDS = 0.2
_LAST_LINES = 15

Result = TypeVar("Result")


class ProgramFailed(StemscribeError):
    """A program that was to be measured ended badly."""


@dataclass(frozen=True)
class Run:
    """What a program took, from its command to its end, with all processes that it started.

    Attributes:
        seconds: on the clock.
        cpu_seconds: of all cores together, which depends less on what else the machine does.
        peak_bytes: the most memory that was resident at a time.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int

    def then(self, other: Run) -> Run:
        """Both, one after the other."""
        return Run(
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            max(self.peak_bytes, other.peak_bytes),
        )


Round = Mapping[str, Run]


@dataclass(frozen=True)
class Spread:
    """Where several values lie."""

    median: float
    lowest: float
    highest: float


def spread(values: Sequence[float]) -> Spread:
    """Where values lie; at least one.

    >>> spread([0.5, 0.4, 0.9])
    Spread(median=0.5, lowest=0.4, highest=0.9)
    """
    return Spread(median(values), min(values), max(values))


def ratios(rounds: Sequence[Round], ours: str, peer: str, of: str = "seconds") -> Spread | None:
    """What ours took for each unit that a peer took, round by round; `None` where they never ran in the same round.

    Args:
        rounds: what was measured.
        ours: a program.
        peer: another one.
        of: which attribute of their runs.
    """
    both = [one for one in rounds if ours in one and peer in one]
    return spread([getattr(one[ours], of) / getattr(one[peer], of) for one in both]) if both else None


def taken(rounds: Sequence[Round], name: str, of: str = "seconds") -> Spread | None:
    """What a program took, over all rounds; `None` where it never ran."""
    values = [getattr(one[name], of) for one in rounds if name in one]
    return spread(values) if values else None


def in_turn(names: Sequence[str], rounds: int) -> Iterator[tuple[str, ...]]:
    """The order of each round.

    >>> list(in_turn(["a", "b"], 3))
    [('a', 'b'), ('b', 'a'), ('a', 'b')]
    """
    for number in range(rounds):
        yield tuple(names[:: -1 if number % 2 else 1])


def play(programs: Mapping[str, Callable[[], Result]], rounds: int, *, done: int = 0) -> Iterator[dict[str, Result]]:
    """Run every program once a round, in turn; yields each round, in the order of `programs`.

    Args:
        programs: by name.
        rounds: how many there are to be.
        done: how many of them were run before.
    """
    for order in list(in_turn(list(programs), rounds))[done:]:
        results = {name: programs[name]() for name in order}
        yield {name: results[name] for name in programs}


# A process inherits the high-water mark of the one that starts it: so a small one does. It tells what was taken.
_LAUNCHER = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([usage.ru_utime + usage.ru_stime, usage.ru_maxrss], file)
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
"""


def measured(command: Sequence[str | Path], log: Path, *, cwd: Path = ROOT) -> tuple[Run, str]:
    """Run a program, and tell what it took and what it answered on stdout.

    Its memory is that of all its processes together, looked at five times a second, or the high-water mark that the
    system keeps of the largest of them, if that is more.

    Args:
        command: the program and its arguments.
        log: where its stderr goes.
        cwd: where it is run.

    Raises:
        ProgramFailed: it ended with something else than 0.
    """
    arguments = [str(part) for part in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as errors, log.with_suffix(".out").open("w+b") as answers:
        started = time.perf_counter()
        usage = log.with_suffix(".usage").resolve()
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", _LAUNCHER, str(usage), *arguments],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=answers,
            stderr=errors,
            env=_environment(),
        )
        try:
            with _Memory(process.pid) as memory:
                process.wait()
        except BaseException:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            raise
        seconds = time.perf_counter() - started
        cpu_seconds, largest = json.loads(usage.read_text())
        answers.seek(0)
        answer = answers.read().decode(errors="replace")
    if process.returncode:
        said = log.read_text(encoding="utf-8", errors="replace").splitlines() + answer.splitlines()
        raise ProgramFailed(
            f"{' '.join(arguments)} ended with {process.returncode}:\n" + "\n".join(said[-_LAST_LINES:])
        )
    largest *= 1 if sys.platform == "darwin" else 1024
    return Run(round(seconds, 3), round(cpu_seconds, 3), max(memory.peak, largest)), answer


def _environment() -> dict[str, str]:
    """That of a user's shell: nothing of how the benchmark itself was started."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}


class _Memory:
    """Watches the memory of a process and its children, beside the wait for its end."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, threading.Event()
        self.peak = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLING_SECONDS):
            self.peak = max(self.peak, _resident(self._pid))


def _resident(pid: int) -> int:
    """Bytes of all processes of a tree."""
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for process in tree:
        try:
            total += process.memory_info().rss
        except psutil.Error:  # it has ended meanwhile
            continue
    return total
