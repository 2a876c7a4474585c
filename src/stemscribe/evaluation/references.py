"""What a folder holds to measure against: recordings with their texts, mixtures with their stems, music without a word.

Nothing has to be declared: names say what belongs together. What was taken for what is told before anything begins.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from stemscribe.errors import UsageError

MEDIA = frozenset(
    [
        ".aac",
        ".aif",
        ".aiff",
        ".amr",
        ".avi",
        ".flac",
        ".flv",
        ".m4a",
        ".m4v",
        ".mka",
        ".mkv",
        ".mov",
        ".mp2",
        ".mp3",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".oga",
        ".ogg",
        ".ogv",
        ".opus",
        ".ts",
        ".wav",
        ".webm",
        ".wma",
        ".wmv",
    ]
)
TEXTS = (".txt", ".srt", ".vtt")  # the first one that is there counts
MIXTURE, TRANSCRIPT = "mixture", "transcript"
NO_SPEECH_FOLDERS = frozenset({"music", "no-speech", "no_speech"})
_STEMS = {"vocals": "vocals", "speech": "vocals", "accompaniment": "accompaniment", "music": "accompaniment"}
_STEMS |= {name: name for name in ("drums", "bass", "other", "guitar", "piano")}
_LANGUAGE = re.compile(r"([a-z]{2})(?:[-_][a-z]{2})?", re.IGNORECASE)
_LANGUAGE_FIRST = re.compile(r"([a-z]{2})[-_].*", re.IGNORECASE)


@dataclass(frozen=True)
class Reference:
    """One recording, and what is known of it.

    Attributes:
        name: its path below the folder without an ending; of a mixture, that of its folder.
        media: the recording.
        text: a file that says what is said in it; `None` where that is not known.
        stems: true stems by name, of stemscribe's names.
        language: the language that its place says; empty where it says none.
        silent: whether nobody speaks in it.
    """

    name: str
    media: Path
    text: Path | None = None
    stems: Mapping[str, Path] = field(default_factory=dict)
    language: str = ""
    silent: bool = False

    @property
    def group(self) -> str:
        """What it is counted with: the folder that it lies in; `.` for that of the whole search."""
        return self.name.rpartition("/")[0] or "."

    @property
    def heard(self) -> bool:
        """Whether it says something about recognition, and not about separation alone."""
        return self.text is not None or self.silent


@dataclass(frozen=True)
class Found:
    """What a folder holds, and the files that were left out, with the reason, in the order of their names."""

    references: tuple[Reference, ...]
    left_out: Mapping[str, str]


def find_references(folder: Path, language_of: Callable[[str], str | None], *, no_speech: bool = False) -> Found:
    """Everything in a folder, at any depth, that something can be measured against.

    Args:
        folder: hidden files and folders in it are not looked at, links to folders are not followed.
        language_of: the code of a language by its name, `None` for what is no language.
        no_speech: whether nothing is said in recordings without a text.

    Raises:
        UsageError: it is no folder, or there is nothing in it to measure against.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder.", hint="Name a folder with recordings and their texts beside them."
        )
    search = _Search(folder, no_speech=no_speech)
    found = tuple(
        replace(reference, language=_language(folder, reference, language_of)) for reference in search.references()
    )
    if not found:
        raise UsageError(f"There is nothing in {folder} to measure against{_some(search.left_out)}.", hint=_WANTED)
    return Found(found, dict(sorted(search.left_out.items())))


_WANTED = (
    "Put NAME.txt (or .srt, .vtt) beside NAME.wav, true stems beside mixture.wav, or music without a word into a"
    " folder called music."
)


def _some(left_out: Mapping[str, str]) -> str:
    """The first of the files that were left out, as evidence."""
    return "".join(f" ({name} {why})" for name, why in list(left_out.items())[:1])


class _Search:
    """One walk through a folder; `left_out` fills as it goes."""

    def __init__(self, root: Path, *, no_speech: bool) -> None:
        self._root, self._no_speech = root, no_speech
        self.left_out: dict[str, str] = {}

    def references(self) -> Iterator[Reference]:
        for place, folders, names in os.walk(self._root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            folder = Path(place)
            files = [folder / name for name in sorted(names) if not name.startswith(".")]
            if any(_is(path, MIXTURE) for path in files):
                yield from self._mixture(folder, files, folders)
            else:
                yield from self._recordings(folder, files)

    def _mixture(self, folder: Path, files: list[Path], folders: list[str]) -> Iterator[Reference]:
        """The one reference that a folder with a mixture in it is; folders of stems in it are a part of it."""
        media = next(path for path in files if _is(path, MIXTURE))
        name = folder.relative_to(self._root).as_posix() if folder != self._root else folder.resolve().name
        below = {child: stems for child in folders if (stems := stems_in(folder / child))}
        folders[:] = [child for child in folders if child not in below]
        stems = stems_in(folder)
        if not stems and len(below) == 1:
            stems = next(iter(below.values()))
        text = _text(files, TRANSCRIPT) or _text(files, MIXTURE)
        silent = self._is_silent(folder, has_text=text is not None) and (not stems or "vocals" not in stems)
        if stems or text or silent:
            yield Reference(name, media, text, stems, silent=silent)
        elif below:
            self._leave_out(media, f"has several folders of stems beside it ({', '.join(below)})")
        else:
            self._leave_out(media, "has neither a text nor stems beside it")

    def _recordings(self, folder: Path, files: list[Path]) -> Iterator[Reference]:
        media = [path for path in files if path.suffix.lower() in MEDIA]
        stems = [path.stem for path in media]
        for path in media:
            text = _text(files, path.stem)
            silent = self._is_silent(folder, has_text=text is not None)
            if text is None and not silent:
                self._leave_out(path, "has no text beside it")
                continue
            unique = path.with_suffix("") if stems.count(path.stem) == 1 else path
            yield Reference(unique.relative_to(self._root).as_posix(), path, text, silent=silent)
        for path in files:
            if path.suffix.lower() in TEXTS and path.stem not in stems:
                self._leave_out(path, "has no recording beside it")

    def _is_silent(self, folder: Path, *, has_text: bool) -> bool:
        inside = folder.relative_to(self._root).parts
        names = {name.lower() for name in (self._root.resolve().name, *inside)}
        return not has_text and (self._no_speech or bool(names & NO_SPEECH_FOLDERS))

    def _leave_out(self, path: Path, why: str) -> None:
        self.left_out[path.relative_to(self._root).as_posix()] = why


def stems_in(folder: Path) -> dict[str, Path]:
    """The stems that lie in a folder, by stemscribe's names: `speech` is vocals, `music` accompaniment."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in MEDIA)
    except OSError:
        return {}
    found: dict[str, Path] = {}
    for path in files:
        if (name := _STEMS.get(path.stem.lower())) is not None:
            found.setdefault(name, path)
    return found


def _is(path: Path, name: str) -> bool:
    return path.stem.lower() == name and path.suffix.lower() in MEDIA


def _text(files: Iterable[Path], stem: str) -> Path | None:
    texts = {path.suffix.lower(): path for path in files if path.stem == stem}
    return next((texts[suffix] for suffix in TEXTS if suffix in texts), None)


def _language(folder: Path, reference: Reference, language_of: Callable[[str], str | None]) -> str:
    """The language that the nearest folder says: `hi`, `pt-BR`, or `en_station` for a mixture's own."""
    parts = (folder.resolve().name, *reference.name.split("/"))
    is_mixture = _is(reference.media, MIXTURE)
    if is_mixture and (match := _LANGUAGE_FIRST.fullmatch(parts[-1])) and (code := language_of(match[1])):
        return code
    for part in reversed(parts if is_mixture else parts[:-1]):
        if (match := _LANGUAGE.fullmatch(part)) and (code := language_of(match[1])):
            return code
    return ""
