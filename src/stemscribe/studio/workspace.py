"""What the studio works on: the jobs below one folder, and beside them what was derived from them.

Everything here calls the rooms below as the command line does. Nothing knows of requests or pages.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from stemscribe.audio.mix import MixInfo
from stemscribe.errors import JobError, JobLocked, JobNotFound, StemscribeError, UsageError
from stemscribe.jobs.folder import JobFolder, all_jobs, create
from stemscribe.jobs.job import Options
from stemscribe.jobs.manifest import ArtefactRecord
from stemscribe.models.spec import Catalog, load_catalog
from stemscribe.pipeline.prepare import Request, checked
from stemscribe.pipeline.stage import Progress
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.pipeline.status import LEDGER, JobStatus, detailed_status_of, status_of
from stemscribe.records import TEMPORARY, read_record
from stemscribe.rows import read_head
from stemscribe.settings import Settings
from stemscribe.speech.ledger import Ledger
from stemscribe.studio.pictures import Pictures
from stemscribe.studio.runs import Runs
from stemscribe.timebase import Seconds

DERIVED = ".studio"  # below the folder of jobs; may be deleted at any time
UPLOADS = "uploads"
_FORGOTTEN_SECONDS = 3600.0  # without a byte more
MIX_INFO, SEPARATION = "mix_info", "separation"
AUDIBLE = ("mix", "vocals", "accompaniment", "drums", "bass", "other", "guitar", "piano", "centre")


@dataclass(frozen=True)
class NewJob:
    """What a job is asked to do."""

    media: str
    workflow: str = "transcribe"
    source_language: str = "auto"
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class JobRow:
    """A job in a list; `coverage` is the share of the voices that its transcript accounts for, once there is one."""

    job: str
    state: str
    workflow: str
    media: str
    language: str
    created_at: str
    coverage: float | None = None


@dataclass(frozen=True)
class Expected:
    """What a job will need, as its rehearsal has found."""

    seconds: Seconds
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class JobView:
    """A job as it is now.

    Attributes:
        at: which stage is at work.
        progress: how far that has come.
        expected: what the rehearsal has found, while it is remembered.
        failure: why the last run has ended early, and what to do.
        is_cancellable: whether it was started from here, and runs.
    """

    status: JobStatus
    language: str
    at: str = ""
    progress: Progress | None = None
    expected: Expected | None = None
    failure: str = ""
    is_cancellable: bool = False


@dataclass(frozen=True)
class Track:
    """A sound of a job."""

    name: str
    frames: int
    sample_rate: int


@dataclass(frozen=True)
class Span:
    """Something to see on the waveform, in seconds of the mix."""

    start: Seconds
    end: Seconds
    kind: str
    what: str


@dataclass(frozen=True)
class Sound:
    """What there is to hear of a job: `offset` is where the mix begins on the film's clock."""

    duration: Seconds
    offset: Seconds
    tracks: tuple[Track, ...]
    spans: tuple[Span, ...]


class Workspace:
    """The jobs of one folder.

    Args:
        settings: where everything is.
        command: what `stemscribe` is called by.

    Attributes:
        derived: the folder of all that was made from the jobs, and may be deleted.
    """

    def __init__(self, settings: Settings, command: Sequence[str]) -> None:
        self.settings = settings
        self.derived = settings.out_dir / DERIVED
        options = ["--out-dir", str(settings.out_dir), "--models-dir", str(settings.models_dir)]
        self.runs = Runs(self.derived / "runs", command, options + (["--offline"] if settings.offline else []))
        self.pictures = Pictures(self.derived / "pictures")
        self._starting = threading.Lock()

    @cached_property
    def catalog(self) -> Catalog:
        return load_catalog(self.settings.catalog)

    @property
    def uploads(self) -> Path:
        """The folder of the films that came through the browser."""
        return self.settings.out_dir / UPLOADS

    def sweep(self) -> None:
        """Remove what was left of films when a studio was killed while they came; not what may still be coming."""
        for path in self.uploads.glob(f".*{TEMPORARY}"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _FORGOTTEN_SECONDS:
                    path.unlink()

    def folder(self, job: str) -> JobFolder:
        """A job by its id, never by a path.

        Raises:
            JobNotFound: there is none.
        """
        path = self.settings.out_dir / job
        if Path(job).name != job or not (path / "job.json").is_file():
            raise JobNotFound(f"There is no job {job!r}.")
        return JobFolder(path)

    def rows(self) -> list[JobRow]:
        """All jobs, the latest first."""
        return [self._row(folder) for folder in reversed(all_jobs(self.settings.out_dir))]

    def _row(self, folder: JobFolder) -> JobRow:
        status = status_of(folder)
        language, coverage = "", None
        with suppress(StemscribeError):
            language = folder.job.source_language
            if (ledger := artefact_of(folder, LEDGER)) is not None:
                coverage = read_head(folder.path / ledger.path, Ledger).coverage
        return JobRow(
            folder.path.name, status.state, status.workflow, status.media, language, status.created_at, coverage
        )

    def view(self, job: str) -> JobView:
        """A job as it is now."""
        folder = self.folder(job)
        status = detailed_status_of(folder)
        language = ""
        with suppress(StemscribeError):
            language = folder.job.source_language
        view = JobView(status, language, is_cancellable=self.runs.is_running(job))
        for event in self.runs.last_events(job):
            view = _after(view, event)
        if status.state == "completed":
            return replace(view, at="", progress=None, failure="")
        if view.is_cancellable:
            return replace(view, failure="")
        # What was told is not of this run, if there is one: somebody else has started it.
        running = any(stage.status == "running" for stage in status.stages)
        failure = "" if running else view.failure or self.runs.last_words(job)
        return replace(view, at="", progress=None, failure=failure)

    def prepare(self, new: NewJob) -> str:
        """Make a job; returns its id.

        Raises:
            StemscribeError: the request cannot be meant, or the film cannot be used.
        """
        if not new.media or "\0" in new.media:
            raise UsageError("No film was named.", hint="Give its path, or send the file.")
        request = Request(Path(new.media), new.workflow, new.source_language, new.options)
        job = checked(request, self.catalog, self.settings.venv_dir)
        name = create(self.settings.out_dir, job).path.name
        self.runs.forget(name)
        return name

    def run(self, job: str, *, live: bool = False) -> None:
        """Run a job, or resume it.

        Raises:
            JobLocked: it is being run.
        """
        folder = self.folder(job)
        with self._starting:  # or two requests at once would begin the same files
            if folder.is_locked() or self.runs.is_running(job):
                raise JobLocked(f"{job} is being run already.")
            self.runs.start(job, *(["--live"] if live else []))

    def cancel(self, job: str) -> None:
        """Interrupt a job; what it has computed is kept.

        Raises:
            JobError: it was not started from here, or does not run.
        """
        self.folder(job)
        if not self.runs.cancel(job):
            raise JobError(f"{job} was not started from here, or is not running.", hint="Stop it where it was started.")

    def artefact(self, job: str, name: str) -> ArtefactRecord:
        """A file that a stage has made.

        Raises:
            JobNotFound: there is no such job, or it has made no such file.
        """
        found = artefact_of(self.folder(job), name)
        if found is None:
            raise JobNotFound(f"{job} has no {name!r}.")
        return found

    def path(self, job: str, name: str) -> Path:
        """Where a file is that a stage has made.

        Raises:
            JobNotFound: there is none, or it leads out of the job.
        """
        home = self.folder(job).path.resolve()
        path = (home / self.artefact(job, name).path).resolve()
        if not path.is_relative_to(home) or not path.is_file():
            raise JobNotFound(f"{job} has no {name!r}.")
        return path

    def media(self, job: str) -> Path:
        """The film of a job.

        Raises:
            JobNotFound: it is not there any more.
        """
        path = Path(self.folder(job).job.media)
        if not path.is_file():
            raise JobNotFound(f"The film of {job} is not there any more.")
        return path

    def sound(self, job: str) -> Sound:
        """What there is to hear of a job.

        Raises:
            JobNotFound: there is nothing yet.
        """
        info = read_record(self.path(job, MIX_INFO), MixInfo)
        folder = self.folder(job)
        made = [name for name in AUDIBLE if artefact_of(folder, name) is not None]
        tracks = tuple(Track(name, info.frames, info.sample_rate) for name in made)
        return Sound(info.frames / info.sample_rate, info.offset, tracks, tuple(self._spans(job, info)))

    def _spans(self, job: str, info: MixInfo) -> list[Span]:
        """What is to be seen: how windows were treated, what is doubtful about them, and where words are missing."""
        spans: list[Span] = []
        with suppress(JobNotFound):
            record = read_record(self.path(job, SEPARATION), SeparationRecord)
            spans += [
                Span(run.start, run.end, run.treatment, "") for run in record.gate if run.treatment != "separated"
            ]
            spans += [Span(doubt.start, doubt.end, "doubt", f"{doubt.kind} {doubt.stem}") for doubt in record.doubts]
        ledger = detailed_status_of(self.folder(job)).ledger
        for gap in ledger.entries if ledger else ():
            spans.append(Span(gap.start - info.offset, gap.end - info.offset, "gap", gap.evidence))
        return spans

    def peaks(self, job: str, name: str) -> Path:
        """The waveform of a sound; see `Pictures.peaks`."""
        return self.pictures.peaks(self.path(job, name), self.artefact(job, name).sha256)


def free_space(folder: Path) -> int:
    """How many bytes are free where a folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def artefact_of(folder: JobFolder, name: str) -> ArtefactRecord | None:
    """A file that a stage of a job has made; `None` if there is none.

    Raises:
        RecordError: the manifest cannot be read.
    """
    records = folder.manifest.stages.values()
    return next((one for record in records for one in record.artefacts if one.name == name), None)


def _after(view: JobView, event: dict[str, Any]) -> JobView:
    """What is known of a job after one more event."""
    kind = event.get("event")
    with suppress(msgspec.ValidationError, KeyError):
        if kind == "stage_progressed":
            return replace(view, at=str(event["stage"]), progress=msgspec.convert(event["progress"], Progress))
        if kind == "rehearsed":
            return replace(view, expected=msgspec.convert(event, Expected))
        if kind == "stage_started":
            return replace(view, at=str(event["stage"]), progress=None)
        if kind == "job_failed":
            return replace(view, failure=f"{event['message']} {event['hint']}".strip())
    return view
