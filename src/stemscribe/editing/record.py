"""`edits.json`: the changes to one transcript, beside it, and never in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stemscribe.editing.changes import Change
from stemscribe.records import read_record, write_record

FILE = "edits.json"


@dataclass(frozen=True)
class Edits:
    """What people have changed, first to last.

    Attributes:
        transcript: the SHA-256 of the transcript that the changes are about.
    """

    transcript: str
    changes: tuple[Change, ...] = ()
    version: int = 1

    @property
    def revision(self) -> str:
        """Another one for other changes, or another transcript: whoever wants to change something says what they have
        seen.
        """
        return hashlib.sha256(msgspec.json.encode((self.transcript, self.changes))).hexdigest()[:16]


def read_edits(folder: Path, transcript: str) -> Edits:
    """The changes to the transcript in a folder; none if nobody has made any.

    Args:
        folder: of the transcript.
        transcript: its SHA-256; changes to another one, which was there before, are not taken for changes to this.

    Raises:
        RecordError: what was kept is not valid.
    """
    for path in (folder / FILE, _aside(folder, transcript)):
        if path.exists() and (found := read_record(path, Edits)).transcript == transcript:
            return found
    return Edits(transcript)


def set_aside(folder: Path, transcript: str) -> int:
    """How many changes there are to the transcript that was there before.

    Args:
        folder: of the transcript.
        transcript: its SHA-256.

    Raises:
        RecordError: what was kept is not valid.
    """
    path = folder / FILE
    if not path.exists() or (found := read_record(path, Edits)).transcript == transcript:
        return 0
    return len(found.changes)


def write_edits(folder: Path, edits: Edits) -> None:
    """Replace the changes to a transcript; those to one that was there before are kept aside, until it is there again.

    Raises:
        StorageError: the folder cannot be written.
        RecordError: what was kept is not valid.
    """
    path = folder / FILE
    if path.exists() and (before := read_record(path, Edits)).transcript != edits.transcript:
        write_record(_aside(folder, before.transcript), before)
    write_record(path, edits)


def _aside(folder: Path, transcript: str) -> Path:
    return folder / f"edits-{transcript[:16]}.json"
