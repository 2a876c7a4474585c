"""What the studio works on: the jobs below one folder, and beside them what was derived from them.

Everything here calls the rooms below as the command line does. Nothing knows of requests or pages.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec

from stemscribe.audio.mix import MixInfo
from stemscribe.editing.changes import Change, Edited, edited
from stemscribe.editing.record import Edits, read_edits, write_edits
from stemscribe.errors import JobError, JobLocked, JobNotFound, StemscribeError, UsageError
from stemscribe.jobs.folder import JobFolder, all_jobs, create
from stemscribe.jobs.job import Options
from stemscribe.jobs.manifest import ArtefactRecord
from stemscribe.models.spec import Catalog, load_catalog
from stemscribe.pipeline.prepare import Request, checked
from stemscribe.pipeline.stage import Progress
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.pipeline.status import LEDGER, JobStatus, detailed_status_of, status_of
from stemscribe.records import read_record, to_json
from stemscribe.rows import read_head, read_rows
from stemscribe.settings import Settings
from stemscribe.speech.ledger import Ledger
from stemscribe.speech.recognition import Hearing
from stemscribe.studio.pictures import Pictures
from stemscribe.studio.runs import Runs
from stemscribe.studio.search import Index
from stemscribe.subtitles import srt, text, vtt
from stemscribe.subtitles.cues import cues_of
from stemscribe.subtitles.reading import read_transcript
from stemscribe.timebase import Seconds
from stemscribe.transcript import Transcript

DERIVED = ".studio"  # below the folder of jobs; may be deleted at any time
UPLOADS = "uploads"
TRANSCRIPT, MIX_INFO, SEPARATION, SEGMENTS = "transcript", "mix_info", "separation", "segments"
AUDIBLE = ("mix", "vocals", "accompaniment", "drums", "bass", "other", "guitar", "piano", "centre")
Form = Literal["srt", "vtt", "txt", "json"]
MEDIA_TYPES: dict[Form, str] = {
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "txt": "text/plain",
    "json": "application/json",
}


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


@dataclass(frozen=True)
class Text:
    """A transcript with what was mended; `revision` has to be named by whoever mends more."""

    language: str
    revision: str
    changes: int
    segments: tuple[Edited, ...]


@dataclass(frozen=True)
class Mending:
    """A change to what somebody has seen."""

    revision: str
    change: Change


class Stale(JobError):
    """A change was made to a transcript that has changed since."""


class Workspace:
    """The jobs of one folder.

    Args:
        settings: where everything is.
        command: what `stemscribe` is called by.
    """

    def __init__(self, settings: Settings, command: Sequence[str]) -> None:
        self.settings = settings
        derived = settings.out_dir / DERIVED
        options = ["--out-dir", str(settings.out_dir), "--models-dir", str(settings.models_dir)]
        self.runs = Runs(derived / "runs", command, options + (["--offline"] if settings.offline else []))
        self.pictures = Pictures(derived / "pictures")
        self.index = Index(derived / "search.sqlite")

    @cached_property
    def catalog(self) -> Catalog:
        return load_catalog(self.settings.catalog)

    @property
    def uploads(self) -> Path:
        """The folder of the films that came through the browser."""
        return self.settings.out_dir / UPLOADS

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
            if (ledger := self._artefact(folder, LEDGER)) is not None:
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
        running = any(stage.status == "running" for stage in status.stages)
        if not running and not view.is_cancellable:
            return replace(view, at="", progress=None, failure=view.failure or self.runs.last_words(job))
        return replace(view, failure="")

    def prepare(self, new: NewJob) -> str:
        """Make a job; returns its id.

        Raises:
            StemscribeError: the request cannot be meant, or the film cannot be used.
        """
        if not new.media or "\0" in new.media:
            raise UsageError("No film was named.", hint="Give its path, or send the file.")
        request = Request(Path(new.media), new.workflow, new.source_language, new.options)
        job = checked(request, self.catalog, self.settings.venv_dir)
        return create(self.settings.out_dir, job).path.name

    def run(self, job: str, *, live: bool = False) -> None:
        """Run a job, or resume it.

        Raises:
            JobLocked: it is being run.
        """
        if self.folder(job).is_locked() or self.runs.is_running(job):
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
        found = self._artefact(self.folder(job), name)
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

    def _artefact(self, folder: JobFolder, name: str) -> ArtefactRecord | None:
        records = folder.manifest.stages.values()
        return next((one for record in records for one in record.artefacts if one.name == name), None)

    def sound(self, job: str) -> Sound:
        """What there is to hear of a job.

        Raises:
            JobNotFound: there is nothing yet.
        """
        info = read_record(self.path(job, MIX_INFO), MixInfo)
        folder = self.folder(job)
        made = [name for name in AUDIBLE if self._artefact(folder, name) is not None]
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

    # The transcript

    def text(self, job: str) -> Text:
        """The transcript of a job with all that was mended.

        Raises:
            JobNotFound: it has none.
        """
        transcript, edits = self._transcript(job)
        return _text(transcript, edits)

    def hearings(self, job: str, start: Seconds, end: Seconds) -> list[Hearing]:
        """All that was heard of a stretch of the film, whatever of it was believed.

        Args:
            job: its id.
            start: on the film's clock.
            end: up to where.

        Raises:
            JobNotFound: nothing was recognised.
        """
        offset = read_record(self.path(job, MIX_INFO), MixInfo).offset
        heard = read_rows(self.path(job, SEGMENTS), "hearings", Hearing)
        return [one for one in heard if one.start + offset < end and one.end + offset > start]

    def mend(self, job: str, mending: Mending) -> Text:
        """Make one more change.

        Raises:
            Stale: somebody else has changed it meanwhile.
            UsageError: the change cannot be made.
        """
        transcript, edits = self._transcript(job)
        _check_revision(edits, mending.revision)
        changed = replace(edits, changes=(*edits.changes, mending.change))
        found = _text(transcript, changed)  # before it is written: what cannot be made is not kept
        write_edits(self.path(job, TRANSCRIPT).parent, changed)
        return found

    def take_back(self, job: str, revision: str) -> tuple[Text, Change]:
        """Take back the last change; it is returned, so that it can be made once more.

        Raises:
            Stale: somebody else has changed it meanwhile.
            UsageError: there is none.
        """
        transcript, edits = self._transcript(job)
        _check_revision(edits, revision)
        if not edits.changes:
            raise UsageError("There is nothing to take back.")
        *before, last = edits.changes
        changed = replace(edits, changes=tuple(before))
        write_edits(self.path(job, TRANSCRIPT).parent, changed)
        return _text(transcript, changed), last

    def export(self, job: str, form: Form, *, mended: bool) -> bytes:
        """The transcript in some form.

        Args:
            job: its id.
            form: which.
            mended: whether what people have changed is in it.
        """
        transcript, edits = self._transcript(job)
        if mended:
            transcript = replace(transcript, segments=tuple(one.segment for one in edited(transcript, edits.changes)))
        if form == "json":
            return to_json(transcript)
        if form == "txt":
            return text.render(transcript).encode()
        cues = cues_of(transcript)
        return (srt.render(cues) if form == "srt" else vtt.render(cues)).encode()

    def _transcript(self, job: str) -> tuple[Transcript, Edits]:
        path, record = self.path(job, TRANSCRIPT), self.artefact(job, TRANSCRIPT)
        return read_transcript(path), read_edits(path.parent, record.sha256)

    def indexed(self) -> Index:
        """The index of all transcripts, as they are now."""
        for folder in all_jobs(self.settings.out_dir):
            with suppress(StemscribeError):
                record = self._artefact(folder, TRANSCRIPT)
                if record is not None:
                    self._index(folder, record)
        return self.index

    def _index(self, folder: JobFolder, record: ArtefactRecord) -> None:
        job, edits = folder.path.name, read_edits((folder.path / record.path).parent, record.sha256)
        stamp = f"{record.sha256} {edits.revision}"
        if self.index.stamp(job) != stamp:
            segments = edited(read_transcript(folder.path / record.path), edits.changes)
            self.index.put(job, stamp, [one.segment for one in segments])


def free_space(folder: Path) -> int:
    """How many bytes are free where a folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _text(transcript: Transcript, edits: Edits) -> Text:
    segments = tuple(edited(transcript, edits.changes))
    return Text(transcript.language, edits.revision, len(edits.changes), segments)


def _check_revision(edits: Edits, revision: str) -> None:
    if edits.revision != revision:
        raise Stale("The transcript was changed elsewhere meanwhile.", hint="Load it again.")


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
