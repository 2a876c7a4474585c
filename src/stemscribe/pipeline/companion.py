"""The companion of a separation, as the runner sees it: started, looked after, ended, and never waited for.

It shows what can be recognised already (`live`), in a process of its own and at a lower priority. The job does not need
it: whatever becomes of it, one line of warning is all that comes of that.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import msgspec

from stemscribe.jobs.folder import JobFolder
from stemscribe.jobs.job import Job
from stemscribe.pipeline.resources import available_memory, taken_memory
from stemscribe.records import make_folder
from stemscribe.wording import ending, readable

log = logging.getLogger(__name__)

LIVE = "live.srt"
FINAL: Final = "srt"  # the artefact that it gives way to
LISTENING: Final = "asr"  # the stage whose work is done ahead
AHEAD = ".ahead"
_TALK = "live.log"
# 0.38 GB in all were measured with whisper-base, whose files are 0.15; the rest is room.
_BESIDE_THE_MODEL = 350_000_000


class Companion:
    """A companion that was started.

    Args:
        process: what was started.
        talk: the file with what it says.
    """

    def __init__(self, process: subprocess.Popen[bytes], talk: Path) -> None:
        self._process: subprocess.Popen[bytes] | None = process
        self._talk = talk

    @property
    def pid(self) -> int | None:
        """Its process; `None` once it has ended."""
        return None if self._process is None else self._process.pid

    def look_after(self, max_memory: int | None) -> None:
        """Say so when it has ended by itself, and end it when both of us have taken more memory than we may."""
        if self._process is None:
            return
        if (code := self._process.poll()) is not None:
            self._process = None
            log.warning("--live %s: %s; the job goes on without it", ending(code), self._last_words())
        elif max_memory is not None and taken_memory() > max_memory:
            self.end()
            log.warning("--live would take more memory than --max-ram allows: the job goes on without it")

    def end(self) -> None:
        """End it wherever it is: all that it writes is whole at any time."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _last_words(self) -> str:
        try:
            lines = self._talk.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1].rstrip(".") if lines else "it said nothing"


def start(
    folder: JobFolder,
    job: Job,
    made: Mapping[str, Path],
    models: Mapping[str, Path],
    windows: Path,
    ahead: Path,
    *,
    expected: int = 0,
    max_memory: int | None = None,
) -> Companion | None:
    """Start a companion; `None`, with a line that says why, where that is not possible.

    Args:
        folder: of the job.
        job: with everything decided for this machine.
        made: by artefact name, what is there.
        models: by name, the folders of the models.
        windows: the folder of the separation's journals.
        ahead: where it keeps what it has heard.
        expected: how much memory, in bytes, the job takes by itself; 0 where that is not known.
        max_memory: the most memory, in bytes, that the run may take; `None` for as much as there is.
    """
    needed = expected + _memory_for(models[job.options.model])
    allowed = available_memory() if max_memory is None else min(available_memory(), max_memory)
    if needed > allowed:
        said = "the job goes on without --live: with it, it needs %s of memory, and may take %s"
        log.warning(said, readable(needed), readable(allowed))
        return None
    if (os.cpu_count() or 1) == 1:
        log.warning("this machine has one core, which --live takes its share of: the job will take longer")
    from stemscribe.pipeline.live import Request  # that takes a while, which only --live has any use for

    request = Request(
        asker=os.getpid(),
        job=job,
        made={name: str(path.absolute()) for name, path in made.items()},
        models={name: str(path.absolute()) for name, path in models.items()},
        windows=str(windows.absolute()),
        ahead=str(ahead.absolute()),
        subtitles=str((folder.path / LIVE).absolute()),
    )
    try:
        make_folder(ahead)
        with (ahead / _TALK).open("wb") as talk:
            companion = Companion(_started(msgspec.json.encode(request), talk), ahead / _TALK)
    except OSError as error:
        log.warning("--live could not be started, and the job goes on without it: %s", error.strerror)
        return None
    log.info("subtitles of what is finished so far: %s", folder.path / LIVE)
    return companion


def remove_live(folder: JobFolder) -> None:
    """Remove the subtitles of what was finished so far, once there are those of everything."""
    with suppress(OSError):  # a player may have them open
        (folder.path / LIVE).unlink(missing_ok=True)


def _started(request: bytes, talk: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-m", "stemscribe.pipeline.live"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=talk,
        start_new_session=sys.platform != "win32",
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as asked:  # if it died at once, that is said soon enough
        asked.write(request)
    return process


def _memory_for(model: Path) -> int:
    with suppress(OSError):  # whoever loads it will say what is wrong with it
        return _BESIDE_THE_MODEL + sum(path.stat().st_size for path in model.iterdir() if path.is_file())
    return _BESIDE_THE_MODEL
