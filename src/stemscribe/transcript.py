"""What was said, and when: plain records that every other room may hand around.

Times are seconds. In `regions.json` and `segments.json` they count from the first frame of the mix; in
`transcript.json` and the subtitles they are on the film's own clock. `Transcript.clock` says which.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from stemscribe.timebase import LONGEST, Seconds

Audio = Literal["mix", "vocals", "blend-10", "blend-20", "blend-35", "centre"]
"""What can be listened to; a blend is the vocals with so many per cent of the mix left in."""
Clock = Literal["mix", "film"]


@dataclass(frozen=True, slots=True)
class Region:
    """A span in which voices were detected, `start` ≤ t < `end`."""

    start: Seconds
    end: Seconds

    def __post_init__(self) -> None:
        _check_times(self.start, self.end)

    @property
    def duration(self) -> Seconds:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word, with its leading space as the recogniser wrote it.

    `probability` is the recogniser's own, 0 to 1.
    """

    start: Seconds
    end: Seconds
    text: str
    probability: float

    def __post_init__(self) -> None:
        _check_times(self.start, self.end)


@dataclass(frozen=True, slots=True)
class Segment:
    """What was said in one go.

    `average_log_probability`, `no_speech_probability` and `compression_ratio` are Whisper's own measures of how far
    the text is to be believed. `heard` names the audio it was recognised from, `reason` says why that one. `doubts`
    are what speaks against the text, where it was kept nevertheless.
    """

    start: Seconds
    end: Seconds
    text: str
    language: str
    words: tuple[Word, ...] = ()
    average_log_probability: float | None = None
    no_speech_probability: float | None = None
    compression_ratio: float | None = None
    heard: Audio = "vocals"
    reason: str = ""
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_times(self.start, self.end)

    def moved(self, by: Seconds) -> Segment:
        """The same segment, `by` seconds later."""
        words = tuple(replace(word, start=word.start + by, end=word.end + by) for word in self.words)
        return replace(self, start=self.start + by, end=self.end + by, words=words)

    def on_film_clock(self, offset: Seconds) -> Segment:
        """The same segment with the film's times, where the mix begins at `offset`."""
        return self.moved(offset).in_milliseconds()

    def in_milliseconds(self) -> Segment:
        """The same segment with times rounded to what subtitles can say."""
        words = tuple(replace(word, start=round(word.start, 3), end=round(word.end, 3)) for word in self.words)
        return replace(self, start=round(self.start, 3), end=round(self.end, 3), words=words)


@dataclass(frozen=True)
class Transcript:
    """All segments of a film, in order of time. `version` is that of the JSON written from it."""

    language: str
    segments: tuple[Segment, ...]
    clock: Clock = "mix"
    model: str = ""
    media: str = ""
    version: int = 1

    @property
    def text(self) -> str:
        """Everything that was said, a line a segment."""
        return "\n".join(segment.text.strip() for segment in self.segments)

    def on_film_clock(self, offset: Seconds) -> Transcript:
        """The same transcript with the film's times, where the mix begins at `offset`."""
        return replace(self, clock="film", segments=tuple(segment.on_film_clock(offset) for segment in self.segments))


def total_duration(regions: Iterable[Region]) -> Seconds:
    """How many seconds the regions cover, counting overlaps as often as they occur."""
    return sum((region.duration for region in regions), 0.0)


def _check_times(*times: Seconds) -> None:
    """Refuse what is no time of any film, or no number at all: wherever it came from, it would end in a subtitle."""
    if not all(-LONGEST <= time <= LONGEST for time in times):
        raise ValueError(f"{times} are no times of a film")
