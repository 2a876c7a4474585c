"""What came of listening: records of what is believed, of what is not, and of everything that was heard on the way."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stemscribe.timebase import Seconds
from stemscribe.transcript import Audio, Region, Segment, Word

_LANGUAGE_SAMPLES = 5


@dataclass(frozen=True)
class Dropped:
    """A segment that is not believed, and why."""

    segment: Segment
    reason: str


@dataclass(frozen=True)
class Hearing:
    """One time of listening to a region, in seconds of the mix.

    Attributes:
        region: its number.
        start: where it begins.
        end: where it ends.
        audio: what was listened to.
        why: why it was.
        text: all that was heard.
        words: how many words that is.
        chosen: how many of them are in the transcript, or would be if they were believed.
        score: how it stands among the hearings of the region, the highest being the best; see `arbitration`.
        average_log_probability: the lowest of its segments.
        no_speech_probability: the highest of its segments.
        compression_ratio: the highest of its segments.
    """

    region: int
    start: Seconds
    end: Seconds
    audio: Audio
    why: str
    text: str
    words: int
    chosen: int
    score: float | None
    average_log_probability: float | None
    no_speech_probability: float | None
    compression_ratio: float | None


@dataclass(frozen=True)
class Heard:
    """What came of one region."""

    region: int
    segments: tuple[Segment, ...]
    dropped: tuple[Dropped, ...] = ()
    hearings: tuple[Hearing, ...] = ()


@dataclass(frozen=True)
class Recognition:
    """`segments.json`: everything that was heard, in seconds of the mix.

    Attributes:
        language: the code that was given or found.
        language_probability: how sure the model was; `None` where the language was given.
        model: the recognition model.
        segments: what is believed.
        dropped: what is not, with reasons.
        hearings: everything that was listened to.
    """

    language: str
    language_probability: float | None
    model: str
    segments: tuple[Segment, ...]
    dropped: tuple[Dropped, ...]
    hearings: tuple[Hearing, ...] = ()
    version: int = 2


def find_language(
    regions: Sequence[Region], speech: Sequence[Region], listen: Callable[[Region], dict[str, float]]
) -> tuple[str, float]:
    """The language that is spoken in most of a film.

    Args:
        regions: where voices are.
        speech: where the detector is sure of speech.
        listen: gives the probability of each language in a region.

    Returns:
        The code with the highest mean probability over the regions with the most speech, and that mean; English with
        probability 0 where there are no voices at all.
    """
    most = sorted(regions, key=lambda region: -overlap(region, speech))[:_LANGUAGE_SAMPLES]
    total: dict[str, float] = {}
    for region in most:
        for code, probability in listen(region).items():
            total[code] = total.get(code, 0.0) + probability / len(most)
    best = max(total, key=lambda code: total[code], default="en")
    return best, total.get(best, 0.0)


def overlap(span: Region | Segment, others: Sequence[Region] | Sequence[Word]) -> float:
    """How many seconds of a span the others cover, which are in order and do not overlap each other."""
    return sum(part.duration for part in within(span, others))


def within(span: Region | Segment, others: Sequence[Region] | Sequence[Word]) -> Iterator[Region]:
    """What of a span the others cover, which are in order and do not overlap each other."""
    for index in range(bisect_right(others, span.start, key=lambda other: other.end), len(others)):
        other = others[index]
        if other.start >= span.end:
            return
        yield Region(max(span.start, other.start), min(span.end, other.end))
