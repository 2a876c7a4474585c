"""Jobs that the studio has started: processes of their own, which go on when the browser closes, or the studio.

What a process says goes into files, not through a pipe: so it waits for nobody, any number of pages can look at the
last lines, and a studio that was started anew finds what the one before it had begun.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

from stemscribe.errors import RecordError
from stemscribe.records import make_folder, read_record, write_record

EVENTS, TALK, PROCESS = "events.jsonl", "talk.log", "process.json"
_TAIL_BYTES = 32_768  # of what was said last; events are a hundred bytes each
_INTERRUPTION = getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT)  # Windows has SIGINT for one's own process only
_Record = dict[str, Any]


@dataclass(frozen=True)
class Started:
    """A process: its number alone would say nothing, since numbers are given again."""

    pid: int
    created: float


class Runs:
    """What runs, or has run.

    Args:
        folder: where processes leave what they say, a folder a job.
        command: what `stemscribe` is called by, and the options that all its commands are given.
    """

    def __init__(self, folder: Path, command: Sequence[str], options: Sequence[str] = ()) -> None:
        self._folder, self._command, self._options = folder, tuple(command), tuple(options)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, job: str, *flags: str) -> None:
        """Run a job, or resume it.

        Raises:
            StorageError: the folder cannot be written.
        """
        place = self._folder / job
        make_folder(place)
        command = [*self._command, "run", "-j", job, "--json", *self._options, *flags]
        apart: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if sys.platform == "win32"
            else {"start_new_session": True}
        )
        with (place / EVENTS).open("wb") as events, (place / TALK).open("wb") as talk:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=events, stderr=talk, **apart)
        self._children[job] = child
        with suppress(psutil.NoSuchProcess):
            write_record(place / PROCESS, Started(child.pid, psutil.Process(child.pid).create_time()))

    def forget(self, job: str) -> None:
        """Let go of what a job of that name has said, which was there before."""
        shutil.rmtree(self._folder / job, ignore_errors=True)

    def is_running(self, job: str) -> bool:
        """Whether the process that a studio has started for a job is still there."""
        return self._process(job) is not None

    def cancel(self, job: str) -> bool:
        """Interrupt a job, as Ctrl-C does; returns whether there was anything to interrupt."""
        process = self._process(job)
        if process is None:
            return False
        with suppress(psutil.NoSuchProcess):
            process.send_signal(_INTERRUPTION)
        return True

    def last_events(self, job: str) -> list[_Record]:
        """What the process of a job has told last, oldest first."""
        return list(_events(_tail(self._folder / job / EVENTS)))

    def last_words(self, job: str) -> str:
        """The error with which the process of a job has ended before it had begun, or nothing."""
        lines = _tail(self._folder / job / TALK).decode(errors="replace").splitlines()
        found = [place for place, line in enumerate(lines) if line.startswith("[ERROR]")]
        return "\n".join(line.removeprefix("[ERROR] ").strip() for line in lines[found[-1] :]) if found else ""

    def _process(self, job: str) -> psutil.Process | None:
        if (child := self._children.get(job)) is not None and child.poll() is not None:
            self._children.pop(job, None)  # it has ended, and is a zombie no more
        with suppress(psutil.Error, RecordError):
            started = read_record(self._folder / job / PROCESS, Started)
            process = psutil.Process(started.pid)
            if abs(process.create_time() - started.created) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read()
    except OSError:
        return b""


def _events(content: bytes) -> Iterator[_Record]:
    """The events in some bytes, the first and last of which may be cut."""
    for line in content.splitlines():
        with suppress(msgspec.DecodeError):
            event = msgspec.json.decode(line)
            if isinstance(event, dict):
                yield event
