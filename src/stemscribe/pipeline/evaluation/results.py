"""What any other tool has made, in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import msgspec

from stemscribe.errors import (
    JobError,
    JobNotFound,
    MediaError,
    UsageError,
)
from stemscribe.evaluation.references import TEXTS, Reference, stems_in
from stemscribe.pipeline.evaluation.sources import Result
from stemscribe.subtitles.reading import SUBTITLES, read_cues

_HYPOTHESES = (*TEXTS, ".json")


class Results:
    """What any tool has made, in a folder: `NAME.txt` (or .srt, .vtt, .json), and stems in a folder `NAME`.

    `NAME` is that of the recording, or of its mixture's folder; where a name occurs once only, it may lie anywhere.

    Args:
        folder: where they are.

    Raises:
        UsageError: it is no folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder.", hint="Name the folder of what is to be measured.")
        self.name = folder.resolve().name
        self._folder = folder

    @property
    def description(self) -> object:
        return {"hypotheses": str(self._folder)}

    @cached_property
    def _texts(self) -> dict[str, list[Path]]:
        paths = (path for path in _walk(self._folder) if path.suffix.lower() in _HYPOTHESES)
        return self._by_name((path, path.with_suffix("")) for path in sorted(paths, key=_preference))

    @cached_property
    def _stems(self) -> dict[str, list[Path]]:
        places = dict.fromkeys(path.parent for path in _walk(self._folder))
        return self._by_name((place, place) for place in places if place != self._folder and stems_in(place))

    def _by_name(self, named: Iterable[tuple[Path, Path]]) -> dict[str, list[Path]]:
        """What is there by its name below the folder, and by the last part of that."""
        found: dict[str, list[Path]] = {}
        for path, name in named:
            relative = name.relative_to(self._folder).as_posix()
            for key in {relative, name.name}:
                found.setdefault(key, []).append(path)
        return found

    def of(self, reference: Reference) -> Result:
        text = self._one(self._texts, reference) if reference.heard else None
        place = self._one(self._stems, reference) if reference.stems else None
        stems = {name: (path, 1.0) for name, path in stems_in(place).items()} if place else {}
        if text is None and not stems:
            raise JobNotFound(
                f"There is nothing of {reference.name} in {self._folder}.",
                hint=f"It would be {reference.name}.txt, or stems in a folder {reference.name}.",
            )
        return Result(None if text is None else text_of(text), stems)

    def _one(self, found: Mapping[str, list[Path]], reference: Reference) -> Path | None:
        """What is there of a recording.

        Raises:
            JobError: several are of that name, in places that do not tell which is meant.
        """
        last = reference.name.rpartition("/")[2]
        for key in (reference.name, f"{reference.name}/{reference.media.stem}", last):
            paths = found.get(key, [])
            if len({path.with_suffix("") for path in paths}) == 1:
                return paths[0]
            if paths:
                raise JobError(
                    f"{self._folder} has {len(paths)} results called {key}.",
                    hint=f"Put the one that is meant at {reference.name}.",
                )
        return None


def _walk(folder: Path) -> list[Path]:
    return [Path(place) / name for place, _, names in os.walk(folder) for name in sorted(names)]


def _preference(path: Path) -> tuple[int, str]:
    return _HYPOTHESES.index(path.suffix.lower()), str(path)


def text_of(path: Path) -> str:
    """What a text file, subtitles, or the JSON of a recogniser (`text`, or `segments` that have it) say.

    Raises:
        MediaError: it cannot be read as that.
    """
    if path.suffix.lower() in SUBTITLES:
        return "\n".join(line for cue in read_cues(path) for line in cue.lines)
    try:
        content = path.read_bytes()
        return _spoken(path, content) if path.suffix.lower() == ".json" else content.decode("utf-8-sig")
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise MediaError(f"{path} is not UTF-8.", hint="Save it as UTF-8.") from error


class _Piece(msgspec.Struct):
    text: str | None = None


class _Said(msgspec.Struct):
    """As much as the JSON of Whisper, of those who call faster-whisper, of WhisperX and of ours have in common."""

    text: str | None = None
    segments: list[_Piece] | None = None


def _spoken(path: Path, content: bytes) -> str:
    try:
        said = msgspec.json.decode(content, type=_Said | list[_Piece])
    except (msgspec.DecodeError, RecursionError) as error:
        raise MediaError(f"{path} is not the JSON of a transcript: {error}.", hint=_JSON) from error
    pieces = said if isinstance(said, list) else said.segments
    texts = [piece.text for piece in pieces or () if piece.text is not None]
    if pieces is not None and (texts or not pieces):
        return " ".join(texts)
    if isinstance(said, list) or said.text is None:
        raise MediaError(f"{path} is not the JSON of a transcript: it has neither text nor segments.", hint=_JSON)
    return said.text


_JSON = 'It should be {"text": "…"}, or {"segments": [{"text": "…"}]}.'
