"""Sources made of what is at hand: a local file, the catalog's own words, several sources joined, another converted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, TypeAlias

import msgspec

from stemscribe.errors import ModelError
from stemscribe.models.sources.archives import Npm, PyPI
from stemscribe.models.sources.base import BaseSource, FetchContext, SourceError, Target, blocks_of
from stemscribe.models.sources.http import Https, Hub


class File(BaseSource, frozen=True, tag="file"):
    """A file on this machine, by its absolute path (`~` is the user's home)."""

    path: Annotated[str, msgspec.Meta(min_length=1)]
    online: ClassVar[bool] = False
    copies: ClassVar[int] = 1

    def __str__(self) -> str:
        return f"file {self.path}"

    def write(self, target: Target, context: FetchContext) -> None:
        """Copy the file to the target."""
        target.pour(self._blocks())

    def _blocks(self) -> Iterator[bytes]:
        path = Path(self.path).expanduser()
        if not path.is_absolute():
            raise SourceError("the path is not absolute")
        try:
            with path.open("rb") as file:
                yield from blocks_of(file)
        except OSError as error:
            raise SourceError(error.strerror or type(error).__name__) from error


class Text(BaseSource, frozen=True, tag="text"):
    """A small file whose content stands in the catalog itself."""

    content: Annotated[str, msgspec.Meta(min_length=1)]
    online: ClassVar[bool] = False
    copies: ClassVar[int] = 1

    def __str__(self) -> str:
        return "the catalog itself"

    def write(self, target: Target, context: FetchContext) -> None:
        """Write the content to the target, in UTF-8."""
        target.pour([self.content.encode()])


Part: TypeAlias = Hub | Https | PyPI | Npm | File


class Join(BaseSource, frozen=True, tag="join"):
    """A file that was cut into parts, which are joined in order."""

    parts: Annotated[tuple[Part, ...], msgspec.Meta(min_length=2)]

    @property
    def online(self) -> bool:
        """Whether any part needs the network."""
        return any(part.online for part in self.parts)

    @property
    def copies(self) -> int:
        """The parts, and the whole that is made of them."""
        return 1 + max(part.copies for part in self.parts)

    def __str__(self) -> str:
        return " + ".join(str(part) for part in self.parts)

    def write(self, target: Target, context: FetchContext) -> None:
        """Write every part beside the target, then join them into it."""
        pieces: list[Path] = []
        done = 0
        for index, part in enumerate(self.parts):
            piece = self._piece(target, index, done)
            part.write(piece, context)
            pieces.append(piece.path)
            done += piece.path.stat().st_size
        # All bytes have been reported by now; joining them must not start the count again.
        replace(target, progress=lambda done, total: None).pour(_taken_up(pieces))

    @staticmethod
    def _piece(target: Target, index: int, before: int) -> Target:
        path = target.path.with_name(f"{target.path.name}.{index}")
        most = None if target.size is None else target.size - before
        return Target(path, None, None, lambda done, total: target.progress(before + done, target.size), most)


class Derive(BaseSource, frozen=True, tag="derive"):
    """A file made from a file of another model of the catalog, by a conversion of `stemscribe.models.convert`."""

    model: str
    file: str
    conversion: str
    online: ClassVar[bool] = False  # the other model sees to its own sources
    copies: ClassVar[int] = 1

    def __str__(self) -> str:
        return f"{self.conversion} of {self.model}/{self.file}"

    def write(self, target: Target, context: FetchContext) -> None:
        """Fetch the other model and convert its file into the target."""
        try:
            origin = context.fetch_model(self.model) / self.file
        except ModelError as error:
            raise SourceError(str(error)) from error
        _convert(self.conversion, origin, target, context)


class Convert(BaseSource, frozen=True, tag="convert"):
    """A file made from a download of its own, which is verified before, and deleted after it was converted.

    What comes of it may have no sha256 in the catalog: it is given by that of the origin and by the conversion.

    Attributes:
        origin: where the file to convert may be had; several files are joined into one.
        sha256: of that file.
        size: of that file, in bytes.
    """

    origin: Part | Join
    conversion: str
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size: Annotated[int, msgspec.Meta(gt=0)]

    @property
    def online(self) -> bool:
        """Whether the origin needs the network."""
        return self.origin.online

    @property
    def copies(self) -> int:
        """The origin, and what is made of it."""
        return 1 + self.origin.copies

    def __str__(self) -> str:
        return f"{self.conversion} of {self.origin}"

    def write(self, target: Target, context: FetchContext) -> None:
        """Fetch the origin beside the target, verify it, and convert it."""
        path = target.path.with_name(f"{target.path.name}.origin")
        origin = Target(path, self.size, self.sha256, target.progress)
        origin.verified(self.origin.write(origin, context))
        try:
            _convert(self.conversion, path, target, context)
        except SourceError:
            origin.discard()  # what cannot be converted now cannot be at the next attempt
            raise
        origin.discard()


def _convert(conversion: str, origin: Path, target: Target, context: FetchContext) -> None:
    convert = context.conversions.get(conversion)
    if convert is None:
        raise SourceError(f"there is no conversion called {conversion}")
    try:
        convert(origin, target.path)
    except (ModelError, ValueError) as error:
        raise SourceError(f"{origin.name} cannot be converted: {error}") from error


def _taken_up(pieces: list[Path]) -> Iterator[bytes]:
    """The bytes of all pieces, each deleted when it has been read, so that they never stand on the disk twice."""
    for piece in pieces:
        with piece.open("rb") as file:
            yield from blocks_of(file)
        piece.unlink()
