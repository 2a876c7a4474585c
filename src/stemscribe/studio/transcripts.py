"""Transcripts of jobs: read, mended, exported, and searched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from stemscribe.audio.mix import MixInfo
from stemscribe.editing.changes import Change, Edited, edited, with_changes
from stemscribe.editing.record import Edits, read_edits, set_aside, write_edits
from stemscribe.errors import JobError, StemscribeError, UsageError
from stemscribe.jobs.folder import JobFolder, all_jobs
from stemscribe.jobs.manifest import ArtefactRecord
from stemscribe.records import make_folder, read_record
from stemscribe.rows import read_rows
from stemscribe.speech.recognition import Hearing
from stemscribe.studio.search import Damaged, Found, Index
from stemscribe.studio.workspace import MIX_INFO, Workspace, artefact_of
from stemscribe.subtitles.forms import Form, in_form
from stemscribe.subtitles.reading import read_transcript
from stemscribe.timebase import Seconds
from stemscribe.transcript import Transcript

TRANSCRIPT, SEGMENTS = "transcript", "segments"


@dataclass(frozen=True)
class Text:
    """A transcript with what was mended.

    Attributes:
        revision: what whoever mends more has to name.
        changes: how many there are.
        set_aside: how many were made to a transcript that was there before; they are kept.
    """

    language: str
    revision: str
    changes: int
    segments: tuple[Edited, ...]
    set_aside: int = 0


@dataclass(frozen=True)
class Mending:
    """A change to what somebody has seen."""

    revision: str
    change: Change


class Stale(JobError):
    """A change was made to a transcript that has changed since."""


class Transcripts:
    """The transcripts of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._index = Index(workspace.derived / "search.sqlite")

    def text(self, job: str) -> Text:
        """The transcript of a job with all that was mended.

        Raises:
            JobNotFound: it has none.
        """
        transcript, edits = self._read(job)
        return replace(_text(transcript, edits), set_aside=set_aside(self._home(job), edits.transcript))

    def hearings(self, job: str, start: Seconds, end: Seconds) -> list[Hearing]:
        """All that was heard of a stretch of the film, whatever of it was believed.

        Args:
            job: its id.
            start: on the film's clock.
            end: up to where.

        Raises:
            JobNotFound: nothing was recognised.
        """
        offset = read_record(self._workspace.path(job, MIX_INFO), MixInfo).offset
        heard = read_rows(self._workspace.path(job, SEGMENTS), "hearings", Hearing)
        return [one for one in heard if one.start + offset < end and one.end + offset > start]

    def mend(self, job: str, mending: Mending) -> Text:
        """Make one more change.

        Raises:
            Stale: somebody else has changed it meanwhile.
            UsageError: the change cannot be made.
        """
        with self._alone(job, mending.revision) as (transcript, edits):
            changed = replace(edits, changes=(*edits.changes, mending.change))
            return self._written(job, transcript, changed)

    def take_back(self, job: str, revision: str) -> tuple[Text, Change]:
        """Take back the last change; it is returned, so that it can be made once more.

        Raises:
            Stale: somebody else has changed it meanwhile.
            UsageError: there is none.
        """
        with self._alone(job, revision) as (transcript, edits):
            if not edits.changes:
                raise UsageError("There is nothing to take back.")
            *before, last = edits.changes
            return self._written(job, transcript, replace(edits, changes=tuple(before))), last

    @contextmanager
    def _alone(self, job: str, revision: str) -> Iterator[tuple[Transcript, Edits]]:
        """A transcript and its changes, which nobody else changes meanwhile: no other page, and no other studio."""
        locks = self._workspace.derived / "locks"
        self._workspace.folder(job)
        make_folder(locks)
        with FileLock(locks / f"{job}.lock"):
            transcript, edits = self._read(job)
            if edits.revision != revision:
                raise Stale("The transcript was changed elsewhere meanwhile.", hint="Load it again.")
            yield transcript, edits

    def _written(self, job: str, transcript: Transcript, edits: Edits) -> Text:
        found = _text(transcript, edits)  # before it is written: what cannot be made is not kept
        write_edits(self._home(job), edits)
        return found

    def _home(self, job: str) -> Path:
        return self._workspace.path(job, TRANSCRIPT).parent

    def export(self, job: str, form: Form, *, mended: bool) -> bytes:
        """The transcript in some form.

        Args:
            job: its id.
            form: which.
            mended: whether what people have changed is in it.

        Raises:
            UsageError: it is too long for that form.
        """
        transcript, edits = self._read(job)
        return in_form(form, with_changes(transcript, edits.changes) if mended else transcript, job)

    def _read(self, job: str) -> tuple[Transcript, Edits]:
        path, record = self._workspace.path(job, TRANSCRIPT), self._workspace.artefact(job, TRANSCRIPT)
        return read_transcript(path), read_edits(path.parent, record.sha256)

    def search(self, words: str) -> Sequence[Found]:
        """Where something is said, in all transcripts as they are now.

        Raises:
            StorageError: the index cannot be read or written.
        """
        try:
            self._take_up_all()
            return self._index.find(words)
        except Damaged:
            self._index.remove()  # all of it can be had again
            self._take_up_all()
            return self._index.find(words)

    def _take_up_all(self) -> None:
        folders = all_jobs(self._workspace.settings.out_dir)
        self._index.keep({folder.path.name for folder in folders})
        for folder in folders:
            with suppress(StemscribeError):  # a job that cannot be read has nothing that could be found
                if (record := artefact_of(folder, TRANSCRIPT)) is not None:
                    self._take_up(folder, folder.path / record.path, record)

    def _take_up(self, folder: JobFolder, path: Path, record: ArtefactRecord) -> None:
        job, edits = folder.path.name, read_edits(path.parent, record.sha256)
        stamp = f"{record.sha256} {edits.revision}"
        if self._index.stamp(job) != stamp:
            self._index.put(job, stamp, with_changes(read_transcript(path), edits.changes).segments)


def _text(transcript: Transcript, edits: Edits) -> Text:
    segments = tuple(edited(transcript, edits.changes))
    return Text(transcript.language, edits.revision, len(edits.changes), segments)
