"""Search across all transcripts: an index that is derived from the job folders, and may be deleted at any time."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stemscribe.errors import StorageError
from stemscribe.records import make_folder
from stemscribe.timebase import Seconds
from stemscribe.transcript import Segment

# Marks belong to words: without M* every vowel sign of Devanagari would end one.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (job TEXT PRIMARY KEY, stamp TEXT NOT NULL);
CREATE VIRTUAL TABLE IF NOT EXISTS lines USING fts5(
    text, job UNINDEXED, start UNINDEXED, tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* Co'"
);
"""
MOST = 100
_SHOWN = "highlight(lines, 0, ?, ?)"
BEGIN, END = "\x02", "\x03"  # around what was found: no text has them


@dataclass(frozen=True)
class Found:
    """A segment in which all words occur; `text` has them between `BEGIN` and `END`."""

    job: str
    start: Seconds
    text: str


class Damaged(Exception):
    """The file is not what was written: it is to be removed, and all taken up again."""


class Index:
    """The words of all transcripts.

    Every use may raise `Damaged`, or a `StorageError` where the disk is full or cannot be written.

    Args:
        path: of the file; made when it is first needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def stamp(self, job: str) -> str | None:
        """What a job was indexed from, if it was."""
        with self._opened() as database:
            row = database.execute("SELECT stamp FROM jobs WHERE job = ?", (job,)).fetchone()
        return row[0] if row else None

    def put(self, job: str, stamp: str, segments: Sequence[Segment]) -> None:
        """Take up a job, in the place of what was there of it."""
        with self._opened() as database, database:
            database.execute("DELETE FROM lines WHERE job = ?", (job,))
            rows = ((segment.text, job, segment.start) for segment in segments)
            database.executemany("INSERT INTO lines (text, job, start) VALUES (?, ?, ?)", rows)
            database.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?)", (job, stamp))

    def keep(self, jobs: Collection[str]) -> None:
        """Let go of all other jobs: they are not there any more."""
        with self._opened() as database, database:
            gone = [row for row in database.execute("SELECT job FROM jobs") if row[0] not in jobs]
            for table in ("lines", "jobs"):
                database.executemany(f"DELETE FROM {table} WHERE job = ?", gone)  # noqa: S608 - one of these two

    def find(self, words: str) -> list[Found]:
        """Where all of some words occur, or words that begin with them; the best hits first."""
        wanted = " ".join(f'"{word}"*' for word in words.replace('"', " ").replace("\0", " ").split())
        if not wanted:
            return []
        query = f"SELECT job, start, {_SHOWN} FROM lines WHERE lines MATCH ? ORDER BY rank, job, start LIMIT ?"  # noqa: S608
        with self._opened() as database:
            return [Found(*row) for row in database.execute(query, (BEGIN, END, wanted, MOST))]

    def remove(self) -> None:
        """Let go of everything."""
        self._path.unlink(missing_ok=True)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        make_folder(self._path.parent)
        try:
            with closing(sqlite3.connect(self._path, timeout=10)) as database:
                database.executescript(_SCHEMA)
                yield database
        except sqlite3.OperationalError as error:  # full, locked, or not to be written
            raise StorageError(f"{self._path} cannot be used: {error}.", hint="Free some space; try again.") from error
        except sqlite3.DatabaseError as error:
            raise Damaged(str(error)) from error
