"""Breaking things from within: errors, kills and power cuts at exact points of a running program.

A point is the n-th time that something is done (`write`, `fsync`, `rename`, …) to a file of a name: small enough to
put a kill between a flush and the rename after it. Only files below one folder count, so that the interpreter's own
doings do not.

A power cut is acted out: what was written and not flushed is lost or turns to zeros, what was renamed or made and
whose folder was not flushed is undone, and then the process is killed. That is what POSIX allows a file system to do,
and what a kill alone never shows.
"""

from __future__ import annotations

import builtins
import contextlib
import datetime as calendar
import errno
import os
import random
import re
import resource
import secrets
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import soundfile

NOTHING = "arithmetic"  # the name of points that are about no file
VARIABLE = "STEMSCRIBE_FAULTS"
_TEMPORARY = re.compile(r"^\.(.+)\.[0-9a-f]{8}\.part$")
_FULL = {"write", "log", "mkdir"}  # what a full disk refuses
_FROZEN = {*_FULL, "rename", "unlink", "rmtree", "open"}  # what one that is read-only or broken refuses
_FOREVER = 3600.0


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        do: what: `raise` an error of the system, `kill` this process, `cut` the power, run out of `memory`, `hang`,
            turn the `clock`, or take away the right to write more than a few bytes to a file (`quota`).
        op: at which operation; empty for any.
        name: on which file; empty for any.
        nth: at which of these, counted from 1.
        when: before it, in its middle (half of a write is done), or after it.
        errno: for `raise`.
        lasting: for `raise`: whether the disk stays so.
        amount: seconds that the clock is turned, or that are slept; bytes for `quota`.
        where: whether it happens in the `runner`, or in the `worker` that rehearses.
    """

    do: Literal["raise", "kill", "cut", "memory", "hang", "clock", "quota"]
    op: str = ""
    name: str = ""
    nth: int = 1
    when: Literal["before", "middle", "after"] = "before"
    errno: str = "ENOSPC"
    lasting: bool = False
    amount: float = 0.0
    seed: int = 0
    where: Literal["runner", "worker"] = "runner"


@dataclass(frozen=True)
class Orders:
    """What a program is told.

    Attributes:
        below: only what happens to files in there counts.
        counts: a file that gets a line for every window separated and every region heard.
        faults: what goes wrong.
        points: a file for the list of all points that were passed; empty for none.
        pace: seconds that a `window`, a `region`, a `block` of a stem or of the film take at least.
        time_limit: of a rehearsal.
        patience: with a stage that shows no sign of life; half of it with a torch worker that does not answer.
        flushes: whether a flush does what it says; a disk that lies does nothing.
    """

    below: str
    counts: str
    faults: tuple[Fault, ...] = ()
    points: str = ""
    pace: dict[str, float] = field(default_factory=dict)
    time_limit: float = 60.0
    patience: float = 600.0
    flushes: bool = True


@dataclass(frozen=True)
class Point:
    """A point that was passed, and whose file it was."""

    op: str
    name: str
    nth: int
    stage: str


class Breaker:
    """Counts the points that a program passes, and does what was ordered."""

    def __init__(self, orders: Orders, where: str) -> None:
        self._below = Path(orders.below).resolve()
        self._faults = [fault for fault in orders.faults if fault.where == where]
        self._is_rehearsal = where == "worker"
        self.flushes = orders.flushes
        self._passed: Counter[tuple[str, str]] = Counter()
        self._of_op: Counter[str] = Counter()
        self._refused: tuple[set[str], str] = (set(), "")
        self.points: list[Point] = []
        cuts = any(fault.do == "cut" for fault in self._faults)
        self.cache = _Cache(Path(orders.counts).parent / "shadows" if cuts else None)

    @contextlib.contextmanager
    def passing(self, op: str, path: Path | str, half: Callable[[], object] | None = None) -> Iterator[None]:
        """A point, for the time of the block; `half` does a part of the operation."""
        inside = self._inside(path)
        if inside is None:
            yield
            return
        stage, name = inside
        self._passed[op, name] += 1
        self._of_op[op] += 1
        self.points.append(Point(op, name, self._passed[op, name], stage))
        refused, code = self._refused
        if op in refused:
            raise _system_error(code, path)
        struck = [fault for fault in self._faults if self._meets(fault, op, name)]
        for when in ("before", "middle"):
            for fault in (each for each in struck if each.when == when):
                if when == "middle" and half is not None:
                    half()
                self._strike(fault, path)
        yield
        for fault in (each for each in struck if each.when == "after"):
            self._strike(fault, path)

    def counts(self, path: Path | str) -> bool:
        """Whether what is done to a file counts."""
        return self._inside(path) is not None

    def _meets(self, fault: Fault, op: str, name: str) -> bool:
        if fault.op not in ("", op) or fault.name not in ("", name):
            return False
        count = self._passed[op, name] if fault.name else self._of_op[op] if fault.op else len(self.points)
        return count == fault.nth

    def _inside(self, path: Path | str) -> tuple[str, str] | None:
        """The stage and the name of a file of the job, whatever it is called while it is being made."""
        try:
            parts = Path(os.path.abspath(path)).relative_to(self._below).parts  # noqa: PTH100 - links stay
        except ValueError:
            return None
        if any(part.startswith(".rehearsal-") for part in parts) != self._is_rehearsal and parts[-1] != NOTHING:
            return None
        if ".rehearsals" in parts:
            return None  # a memory that a run may do without
        temporary = _TEMPORARY.match(parts[-1]) if parts else None
        name = temporary[1] if temporary else parts[-1] if parts else "out"
        folders = [part for part in parts[:-1] if re.match(r"\d\d_", part)]
        return folders[0][3:] if folders else "job", name

    def _strike(self, fault: Fault, path: Path | str) -> None:
        if fault.do == "raise":
            if fault.lasting:
                self._refused = (_FROZEN if fault.errno in {"EROFS", "EIO"} else _FULL, fault.errno)
            raise _system_error(fault.errno, path)
        if fault.do == "cut":
            self.cache.lose(random.Random(fault.seed))
        if fault.do in {"cut", "kill"}:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.do == "memory":
            raise MemoryError
        if fault.do == "hang":
            time.sleep(fault.amount or _FOREVER)
        if fault.do == "clock":
            turn_clock(fault.amount)
        if fault.do == "quota":
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(fault.amount), resource.RLIM_INFINITY))


def _system_error(code: str, path: Path | str) -> OSError:
    number = getattr(errno, code)
    return OSError(number, os.strerror(number), str(path))


@dataclass
class _Cache:
    """What the system has not yet brought to the disk: the ends of files, and entries of folders.

    Args:
        shadows: where files that are replaced are kept, so that it can be undone; `None` when it never will be.
    """

    shadows: Path | None
    spans: dict[tuple[int, int], tuple[Path, int]] = field(default_factory=dict)  # from which byte on it is not safe
    entries: list[tuple[Path, Path | None, Path | None]] = field(default_factory=list)  # name, former, what had it

    def wrote(self, path: Path, at: int) -> None:
        status = path.stat()
        key = status.st_dev, status.st_ino
        self.spans[key] = path, min(at, self.spans[key][1]) if key in self.spans else at

    def made(self, path: Path) -> None:
        self.entries.append((path, None, None))

    def renaming(self, source: Path, target: Path) -> Callable[[], None]:
        """To be called when it is done."""
        old = None
        if self.shadows is not None and target.is_file():
            self.shadows.mkdir(exist_ok=True)
            old = self.shadows / secrets.token_hex(8)
            with contextlib.suppress(OSError):
                os.link(target, old)

        def renamed() -> None:
            self.entries.append((target, source, old))
            for key, (path, first) in self.spans.items():
                if path == source:
                    self.spans[key] = target, first

        return renamed

    def flushed(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self.spans.pop((status.st_dev, status.st_ino), None)
        folder = os.path.realpath(f"/proc/self/fd/{descriptor}")
        self.entries = [entry for entry in self.entries if os.path.realpath(entry[0].parent) != folder]

    def lose(self, chance: random.Random) -> None:
        """Do to the files what a power cut may do."""
        for path, first in self.spans.values():
            if path.is_file():
                _lose_bytes(path, first, chance)
        for path, former, old in reversed(self.entries):
            if chance.random() < 0.5 or not os.path.lexists(path):
                continue
            if former is not None:
                os.rename(path, former)  # noqa: PTH104 - not the watched one
                if old is not None and old.exists():
                    os.rename(old, path)  # noqa: PTH104
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                os.unlink(path)  # noqa: PTH108


def _lose_bytes(path: Path, first: int, chance: random.Random) -> None:
    size = path.stat().st_size
    if size <= first:
        return
    fate = chance.choice(("lost", "zeros", "part", "kept"))
    with open(path, "r+b") as file:  # noqa: PTH123 - not the watched one
        if fate == "lost":
            file.truncate(first)
        elif fate == "part":
            file.truncate(chance.randint(first, size))
        elif fate == "zeros":
            file.seek(first)
            file.write(bytes(size - first))


class _Watched:
    """An open file whose writes are points."""

    def __init__(self, file: Any, path: str, breaker: Breaker) -> None:
        self._file, self._path, self._breaker = file, path, breaker

    def write(self, data: Any) -> int:
        def half() -> None:
            self._file.write(data[: len(data) // 2])
            self._file.flush()

        with contextlib.suppress(OSError, ValueError):
            self._breaker.cache.wrote(Path(self._path), self._file.tell())
        with self._breaker.passing("log" if self._path.endswith(".log") else "write", self._path, half):
            written: int = self._file.write(data)
        return written

    def writelines(self, pieces: Iterable[Any]) -> None:
        for piece in pieces:
            self.write(piece)

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def install(breaker: Breaker) -> None:
    """Put the breaker between this program and its files; for the rest of this process."""
    _watch_opening(breaker)
    _watch_folders(breaker)
    _watch_sound(breaker)
    fsync = os.fsync

    def watched_fsync(descriptor: int) -> None:
        path = os.path.realpath(f"/proc/self/fd/{descriptor}")  # Linux tells
        with breaker.passing("fsync", path):
            if breaker.flushes:
                fsync(descriptor)
                breaker.cache.flushed(descriptor)

    os.fsync = watched_fsync


def _watch_opening(breaker: Breaker) -> None:
    opened, opened_path = builtins.open, Path.open

    def watched(real: Callable[..., Any], path: Any, mode: str, *rest: Any, **named: Any) -> Any:
        if not isinstance(path, (str, os.PathLike)) or not set(mode) & set("wax+"):
            return real(path, mode, *rest, **named)
        name, new = os.fspath(path), not os.path.lexists(path)
        with breaker.passing("open", name):
            file = real(path, mode, *rest, **named)
        if not breaker.counts(name):
            return file
        if new:
            breaker.cache.made(Path(name))
        return _Watched(file, name, breaker)

    def watched_open(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        return watched(opened, file, mode, *rest, **named)

    def watched_path(self: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        return watched(opened_path, self, mode, *rest, **named)

    builtins.open = watched_open
    Path.open = watched_path  # type: ignore[method-assign]


def _watch_folders(breaker: Breaker) -> None:
    unlinked, made = Path.unlink, Path.mkdir

    def moving(real: Callable[..., Any]) -> Callable[..., Any]:
        def move(self: Path, target: Any) -> Any:
            with breaker.passing("rename", target):
                renamed = breaker.cache.renaming(self, Path(target))
                result = real(self, target)
                renamed()
            return result

        return move

    def unlink(self: Path, *rest: Any, **named: Any) -> None:
        with breaker.passing("unlink", self):
            unlinked(self, *rest, **named)

    def mkdir(self: Path, *rest: Any, **named: Any) -> None:
        new = not self.exists()
        with breaker.passing("mkdir", self):
            made(self, *rest, **named)
            if new:
                breaker.cache.made(self)

    Path.replace, Path.rename = moving(Path.replace), moving(Path.rename)  # type: ignore[method-assign]
    Path.unlink, Path.mkdir = unlink, mkdir  # type: ignore[method-assign]
    shutil.rmtree = _removing(breaker, shutil.rmtree)  # type: ignore[assignment]


def _removing(breaker: Breaker, rmtree: Callable[..., Any]) -> Callable[..., Any]:
    """Removing a whole folder, which may end half-way."""

    def remove(path: Any, ignore_errors: bool = False, **named: Any) -> None:
        def half() -> None:
            files = sorted(each for each in Path(path).rglob("*") if each.is_file())
            for file in files[: (len(files) + 1) // 2]:
                os.unlink(file)  # noqa: PTH108 - not the watched one

        try:
            with breaker.passing("rmtree", path, half):
                rmtree(path, ignore_errors, **named)
        except OSError:
            if not ignore_errors:
                raise

    return remove


def _watch_sound(breaker: Breaker) -> None:
    written = soundfile.SoundFile.write

    def write(self: soundfile.SoundFile, data: Any) -> None:
        name = str(self.name)
        with contextlib.suppress(OSError):
            breaker.cache.wrote(Path(name), 0)
        try:
            with breaker.passing("write", name, lambda: written(self, data[: len(data) // 2])):
                written(self, data)
        except OSError as error:  # libsndfile says no more than that the system did not want to
            raise soundfile.LibsndfileError(2) from error

    soundfile.SoundFile.write = write


def turn_clock(seconds: float) -> None:
    """Turn the wall clock of this process, as an administrator or a time server would; what counts on runs on."""
    told = time.time
    time.time = lambda: told() + seconds

    class Turned(calendar.datetime):
        @classmethod
        def now(cls, tz: calendar.tzinfo | None = None) -> calendar.datetime:  # type: ignore[override]
            return calendar.datetime.fromtimestamp(time.time(), tz)

    for name, module in list(sys.modules.items()):
        if name.startswith("stemscribe.") and getattr(module, "datetime", None) is calendar.datetime:
            module.datetime = Turned  # type: ignore[attr-defined]
