r"""Subtitle files read back: people correct them by hand, in editors of every kind.

What is sloppy is understood as players understand it (no numbers, no hours, points for commas, any line ends, tags of
every sort, cues that overlap or are out of order); what would be lost or misplaced without a word is refused, with
the number of its line. pysubs2 is not used here: it reads `100:00:01,000` as one second, takes a last line of digits
for a number of a cue, and searches in quadratic time for the latter.
"""

from __future__ import annotations

import codecs
import html
import logging
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from stemscribe.errors import MediaError, UsageError
from stemscribe.records import read_record
from stemscribe.subtitles.cues import Cue
from stemscribe.subtitles.display import cleaned
from stemscribe.subtitles.rules import MILLISECOND_RATE
from stemscribe.timebase import Seconds, to_seconds
from stemscribe.transcript import Segment, Transcript

log = logging.getLogger(__name__)

SUBTITLES = (".srt", ".vtt")
_LARGEST = 1 << 25  # bytes; a day of talk has one or two million
LATEST: Seconds = 100 * 3600.0  # SubRip has two digits for hours
_TIME = r"(-?)(?:([0-9]{1,9}):)?([0-9]{1,9}):([0-9]{1,2})(?:[.,]([0-9]{1,9}))?"
_TIMING = re.compile(rf"\s*{_TIME}\s*[-–—]+\s*>\s*{_TIME}(?:\s.*)?")
_MEANT_AS_TIMING = re.compile(r"\s*-?[0-9]+[:.,].*-\s*>")
_NUMBER = re.compile(r"\s*[0-9]+\s*")
_SRT_STYLES = re.compile(r"</?\s*(?:[bius]|font|c|v|lang|ruby|rt)\b[^<>]*>|\{\\[^{}]*\}", re.IGNORECASE)
_VTT_TAGS = re.compile(r"<[^<>]*>")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_transcript(path: Path, language: str = "") -> Transcript:
    """What was said, from a `transcript.json`, an `.srt` or a `.vtt` file.

    Args:
        path: the file; its ending says what it is.
        language: what is spoken, where the file does not say it.

    Raises:
        UsageError: there is no such file, or its ending is none of these.
        RecordError: it is not a transcript.
        MediaError: it is not a subtitle file.
    """
    if path.suffix.lower() in SUBTITLES:
        return transcript_of(read_cues(path), language)
    if path.suffix.lower() != ".json":
        raise UsageError(f"{path} is neither .json nor .srt nor .vtt.", hint="Name a transcript or a subtitle file.")
    _size(path)
    transcript = read_record(path, Transcript)
    if transcript.clock == "mix":
        log.warning("%s counts its times from the first frame of the mix, not on the film's clock", path.name)
    return transcript


def read_cues(path: Path) -> tuple[Cue, ...]:
    """The cues of an `.srt` or `.vtt` file in order of time: their own times and lines, without styles.

    Raises:
        UsageError: there is no such file.
        MediaError: it is not a subtitle file, or a line that should say when something is shown does not.
    """
    size = _size(path)
    if size > _LARGEST:
        raise MediaError(f"{path} has {size:,} bytes: no subtitle file has.", hint="Name the right file.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror}.") from error
    return parse(_text(content, path.name), is_vtt=path.suffix.lower() == ".vtt", name=path.name)


def transcript_of(cues: tuple[Cue, ...], language: str = "") -> Transcript:
    """Cues as a transcript, a segment each."""
    segments = (Segment(cue.start, cue.end, " ".join(cue.lines), language) for cue in cues)
    return Transcript(language, tuple(segments), clock="film")


def parse(text: str, *, is_vtt: bool, name: str = "the file") -> tuple[Cue, ...]:
    r"""The cues in the text of a subtitle file, in order of time.

    Args:
        text: with any line ends.
        is_vtt: whether it is WebVTT, in which an empty line ends a cue and characters may be escaped; else SubRip.
        name: for messages.

    Raises:
        MediaError: see `read_cues`.

    >>> parse("1\n0:00:01.5 --> 00:00:03,000\n<i>Yes</i>", is_vtt=False)
    (Cue(start=1.5, end=3.0, lines=('Yes',)),)
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    timings = list(_timings(lines, name))
    if not timings and not _may_be_empty(lines, is_vtt=is_vtt):
        raise MediaError(
            f"{name} is not a subtitle file: no line of it says from when to when something is shown.",
            hint="SubRip has lines such as 00:00:01,000 --> 00:00:02,500, and WebVTT with points for commas.",
        )
    limits = [*(line for line, _, _ in timings), len(lines)][1:]
    cues = []
    for (line, start, end), limit in zip(timings, limits, strict=True):
        shown = _shown(lines[line + 1 : limit], is_vtt=is_vtt, is_last=limit == len(lines))
        if shown:
            cues.append(Cue(to_seconds(start, MILLISECOND_RATE), to_seconds(max(start, end), MILLISECOND_RATE), shown))
    _remark(timings, name)
    return tuple(sorted(cues, key=lambda cue: cue.start))


def _timings(lines: list[str], name: str) -> Iterator[tuple[int, int, int]]:
    """Each line that says when a cue is shown: its index, start and end in milliseconds."""
    for index, line in enumerate(lines):
        if "-" not in line and "–" not in line and "—" not in line:
            continue
        match = _TIMING.fullmatch(line)
        if match:
            groups = match.groups()
            start, end = _milliseconds(*groups[:5]), _milliseconds(*groups[5:])
            if to_seconds(max(start, end), MILLISECOND_RATE) >= LATEST:
                raise _refused(name, index, line, "is later than 99:59:59")
            yield index, start, end
        elif _MEANT_AS_TIMING.match(line):
            raise _refused(name, index, line, "does not say when its cue is shown")


def _milliseconds(sign: str, hours: str | None, minutes: str, seconds: str, fraction: str | None) -> int:
    """A time; one before zero, as tools that shift subtitles write, counts as zero."""
    whole = (int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)
    return 0 if sign else whole * MILLISECOND_RATE + round(int((fraction or "0").ljust(9, "0")) / 1e6)


def _refused(name: str, index: int, line: str, why: str) -> MediaError:
    return MediaError(
        f"Line {index + 1} of {name} {why}: {line.strip()[:80]!r}.",
        hint="Write both times as in 00:00:01,000 --> 00:00:02,500.",
    )


def _may_be_empty(lines: list[str], *, is_vtt: bool) -> bool:
    """Whether a file without a cue is one in which nobody speaks."""
    first = lines[0].lstrip("\ufeff")
    return first.startswith("WEBVTT") if is_vtt else not any(line.strip("\ufeff \t") for line in lines)


def _shown(lines: list[str], *, is_vtt: bool, is_last: bool) -> tuple[str, ...]:
    """What a cue shows, from the lines between its times and those of the next."""
    if is_vtt:
        lines = lines[: next((index for index, line in enumerate(lines) if not line.strip()), len(lines))]
    elif not is_last and lines and _NUMBER.fullmatch(lines[-1]):
        lines = lines[:-1]
    styles = _VTT_TAGS if is_vtt else _SRT_STYLES
    text = styles.sub("", "\n".join(lines))
    plain = html.unescape(text) if is_vtt else text
    return tuple(filter(None, (cleaned(line).strip() for line in plain.split("\n"))))


def _remark(timings: list[tuple[int, int, int]], name: str) -> None:
    """Say what was put right."""
    backward = sum(end < start for _, start, end in timings)
    if backward:
        log.warning("%d cues of %s end before they begin: they end where they begin now", backward, name)
    starts = [start for _, start, _ in timings]
    if starts != sorted(starts):
        log.warning("the cues of %s were not in order of time: now they are", name)


def _text(content: bytes, name: str) -> str:
    """The text of a file, whatever editor wrote it; without the NULs that some leave behind."""
    encoding = next((known for mark, known in _BOMS if content.startswith(mark)), "") or _guessed(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise MediaError(
                f"{name} begins as {encoding.upper()} and does not go on so.", hint="Save it as UTF-8."
            ) from error
        log.warning("%s is not UTF-8: it is read as Windows-1252, and letters outside of it may be wrong", name)
        text = content.decode("cp1252", errors="replace")
    return text.replace("\0", "")


def _guessed(content: bytes) -> str:
    """UTF-16 without a mark has a zero in every other byte of what is ASCII, and every subtitle file begins with
    that.
    """
    start = content[:64]
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(start) >= 8 and not any(start[first::2]) and all(start[1 - first :: 2]):
            return encoding
    return "utf-8"


def _size(path: Path) -> int:
    """The size of a file that is there, and is one.

    Raises:
        UsageError: it is not.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path} cannot be opened ({reason}).", hint="Check the name of the file.") from error
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path} is not a regular file.", hint="Name a transcript or a subtitle file.")
    return status.st_size
