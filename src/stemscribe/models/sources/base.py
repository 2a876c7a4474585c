"""What every source is given, and how it says that it has nothing to give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from stemscribe.models.convert import Conversion
from stemscribe.records import sha256_of
from stemscribe.wording import readable, without_credentials

BLOCK = 1 << 20
# What a file may have whose size nobody told: none of the catalog's is so large, and most disks have room for it.
LARGEST = 8 * 2**30
NOTE = ".json"


class SourceError(Exception):
    """A source did not give its file. The next one is tried; this never reaches a user as it is.

    Args:
        reason: why, as the end of the line "SOURCE: …"; credentials in addresses are left out of it.
        advice: what would make this source work, if the user can do something about it.
    """

    def __init__(self, reason: str, *, advice: str = "") -> None:
        super().__init__(without_credentials(reason))
        self.advice = advice


class ContentError(SourceError):
    """A source gave, or offers, another file than the one that the catalog names."""


class BaseSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """The tag and the strictness that all sources share."""


@dataclass(frozen=True)
class Target:
    """The temporary path that a source writes to, and what is known beforehand of the file.

    Attributes:
        path: always the same for the same file and source, so that a cut download can be resumed.
        size: in bytes; `None` when the catalog does not know.
        sha256: `None` when the catalog does not know.
        progress: called with the bytes written so far, and with all of them where that is known.
        most: what it may have in bytes where its size is not known.
    """

    path: Path
    size: int | None
    sha256: str | None
    progress: Callable[[int, int | None], None]
    most: int | None = None

    @property
    def note(self) -> Path:
        """Where a download keeps what it must know to be resumed."""
        return self.path.with_name(self.path.name + NOTE)

    def pour(self, blocks: Iterable[bytes], *, start: int = 0, total: int | None = None) -> None:
        """Write blocks to the file from byte `start` on, and report each.

        Raises:
            ContentError: there are more of them than the file's size allows.
        """
        done, total = start, self.size if total is None else total
        most = next(limit for limit in (self.size, self.most, LARGEST) if limit is not None)
        with self.path.open("ab" if start else "wb") as file:
            for block in blocks:
                done += len(block)
                if done > most and self.size is not None:
                    raise ContentError(f"it goes on after the {self.size:,} bytes that were expected")
                if done > most:
                    raise ContentError(f"it goes on after {readable(most)}, which is more than can be meant")
                file.write(block)
                self.progress(done, total)

    def expect(self, size: int) -> None:
        """Refuse a file by the size that its package tells, before any of it is unpacked.

        Raises:
            ContentError: it is not the size that the catalog has, or larger than can be meant.
        """
        if self.size is not None and size != self.size:
            raise ContentError(f"expected {self.size:,} bytes, the package has {size:,}")
        if self.most is not None and size > self.most:
            raise ContentError(f"expected at most {self.most:,} bytes, the package has {size:,}")

    @property
    def resumable(self) -> bool:
        """Whether the next attempt can go on from what is there: there is a note of a download, or of a piece of it."""
        return any(self.path.parent.glob(f"{self.path.name}*{NOTE}"))

    def verified(self, published: str | None) -> str:
        """The sha256 of what was written, once it is what the catalog, or else its publisher, says it is.

        Raises:
            ContentError: it is not.
        """
        size = self.path.stat().st_size
        if self.size is not None and size != self.size:
            raise ContentError(f"expected {self.size:,} bytes, got {size:,}")
        found = sha256_of(self.path)
        expected = self.sha256 or published
        if expected and found != expected:
            raise ContentError(f"expected sha256 {expected}, got {found}")
        return found

    def drop_links(self) -> None:
        """Delete links that stand where files will be written: these names can be guessed, and links lead anywhere."""
        for path in self.path.parent.glob(f"{self.path.name}*"):
            if path.is_symlink():
                path.unlink()

    def discard(self) -> None:
        """Delete what was written, with its note and the pieces beside it."""
        for leftover in self.path.parent.glob(f"{self.path.name}*"):
            leftover.unlink(missing_ok=True)


@dataclass(frozen=True)
class FetchContext:
    """What the sources of one model share while it is fetched.

    Attributes:
        scratch: a folder for archives, deleted when the fetch is over.
        hub_endpoint: the base address of the model hub.
        announce: tells the user one line.
        fetch_model: the folder of another model of the catalog, fetched if it must be.
        conversions: by name, see `stemscribe.models.convert`.
    """

    scratch: Path
    hub_endpoint: str
    announce: Callable[[str], None]
    fetch_model: Callable[[str], Path]
    conversions: Mapping[str, Conversion]
    _gained: dict[str, Path] = field(default_factory=dict)
    _failed: dict[str, SourceError] = field(default_factory=dict)

    def once(self, key: str, gain: Callable[[], Path]) -> Path:
        """What `gain` returns, called once in this fetch however many files ask for it, also when it fails."""
        self.raise_if_failed(key)
        if key not in self._gained:
            try:
                self._gained[key] = gain()
            except SourceError as error:
                self.remember_failure(key, error)
                raise
        return self._gained[key]

    def remember_failure(self, key: str, error: SourceError) -> None:
        """Spare the remaining files from waiting for what has just failed."""
        self._failed[key] = error

    def raise_if_failed(self, key: str) -> None:
        """Raise the failure that was remembered under `key`, if there was one."""
        if failure := self._failed.get(key):
            raise failure


def blocks_of(stream: IO[bytes]) -> Iterator[bytes]:
    """The bytes of a stream, in blocks."""
    while block := stream.read(BLOCK):
        yield block
