"""A job run in a process of its own: one JSON request on stdin, one JSON answer on stdout.

    <venv>/bin/python -I -m stemscribe.pipeline.worker

The rehearsal runs here, so that what it breaks, and what it takes, is its own: a crash in native code, memory that runs
out and a call that never returns end this process and not the one that asked.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from stemscribe.errors import StemscribeError
from stemscribe.jobs.folder import JobFolder
from stemscribe.models.spec import ModelSpec
from stemscribe.models.store import ModelStore
from stemscribe.pipeline.reporter import Event, StageFailed, StageProgressed, StageStarted
from stemscribe.pipeline.resources import peak_memory
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.records import read_record
from stemscribe.timebase import Seconds, to_seconds


@dataclass(frozen=True)
class Request:
    """What to run.

    Attributes:
        asker: the process that asks; without it, nobody reads the answer.
        folder: of the job.
        models_dir: the folder of models, all of them fetched.
        catalog: the models, by name.
        environments: the folder of virtual environments.
        max_memory: the most memory, in bytes, that it may take; `None` for as much as there is.
    """

    asker: int
    folder: str
    models_dir: str
    catalog: dict[str, ModelSpec]
    environments: str
    max_memory: int | None = None


@dataclass
class Answer:
    """What became of it.

    Attributes:
        failed_stage: where it failed; empty when it did not.
        message: why; `hint` is what to do about it.
        pace: by unit of progress (`windows`, `regions`), how many seconds one took, in all stages that count in it.
        stride: how much of the film a window moves on.
        peak_bytes: the most memory that was taken.
    """

    failed_stage: str = ""
    message: str = ""
    hint: str = ""
    pace: dict[str, float] = field(default_factory=dict)
    stride: Seconds = 0.0
    peak_bytes: int = 0


class _Watch:
    """Keeps what the answer needs of the events."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._work, self._began, self._first = ("", ""), 0.0, 0.0
        self._earlier: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageProgressed):
            self._progressed(event)
        elif isinstance(event, StageStarted):
            self._work, self._earlier = ("", ""), dict(self._answer.pace)
        elif isinstance(event, StageFailed):
            self._answer.failed_stage = event.stage

    def _progressed(self, event: StageProgressed) -> None:
        progress, now = event.progress, time.monotonic()
        if (event.stage, progress.unit) != self._work:
            self._work, self._began, self._first = (event.stage, progress.unit), now, progress.done
        elif progress.done > self._first:
            pace = (now - self._began) / (progress.done - self._first)
            self._answer.pace[progress.unit] = self._earlier.get(progress.unit, 0.0) + pace


def work(request: Request) -> Answer:
    """Run the job, and tell what became of it."""
    from stemscribe.pipeline.runner import Rules, run  # which imports the rehearsal, which imports this

    answer = Answer()
    store = ModelStore(Path(request.models_dir), request.catalog, offline=True)
    folder = JobFolder(Path(request.folder))
    rules = Rules(is_rehearsal=True, max_memory=request.max_memory)
    try:
        made = run(folder, store, Path(request.environments), _Watch(answer), rules).artefacts
        answer.stride = _stride(read_record(made["separation"], SeparationRecord)) if "separation" in made else 0.0
    except StemscribeError as error:
        answer.message, answer.hint = error.message, error.hint
    answer.peak_bytes = peak_memory()
    return answer


def _stride(separation: SeparationRecord) -> Seconds:
    return to_seconds(separation.window_frames - separation.overlap_frames, separation.sample_rate)


def leave_with(asker: int) -> None:
    """End this process when the one that asked has died, of whose number it was told: nobody would read the answer."""
    # It may have died before we came this far, and then we have another parent.
    found = next((one for one in psutil.Process().parents() if one.pid == asker), None)

    def wait() -> None:
        if found is not None:
            found.wait()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Serve one request; whatever libraries print goes to stderr, because stdout carries the answer."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    leave_with(request.asker)
    with answers:
        answers.write(msgspec.json.encode(work(request)))


if __name__ == "__main__":
    main()
