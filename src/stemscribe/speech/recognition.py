"""What came of listening: records of what is believed, of what is not, and of everything that was heard on the way."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stemscribe.timebase import Seconds
from stemscribe.transcript import Audio, Region, Segment, Word

_LANGUAGE_SAMPLES = 5
# A region's own language counts where it is this probable, and the film's less than that.
SURE_OF_LANGUAGE = 0.8
NOT_THE_FILMS = 0.1
# Whoever speaks one of these is taken for a speaker of another as likely as not: there the film decides.
_ALIKE = (frozenset(("hi", "ur")), frozenset(("bs", "hr", "sr")))


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


def language_here(found: Mapping[str, float], film: str) -> str:
    """What is spoken in a region: the film's language, unless it surely is another one here.

    Args:
        found: the probability of each language in the region.
        film: the language of the film.

    >>> language_here({"en": 0.95, "hi": 0.05}, "hi"), language_here({"en": 0.7, "hi": 0.05}, "hi")
    ('en', 'hi')
    >>> language_here({"ur": 0.95, "hi": 0.05}, "hi")
    'hi'
    """
    alike = next((codes for codes in _ALIKE if film in codes), frozenset((film,)))
    likely = max(found, key=lambda code: found[code], default=film)
    of_the_film = sum(found.get(code, 0.0) for code in alike)
    return likely if found.get(likely, 0.0) >= SURE_OF_LANGUAGE and of_the_film <= NOT_THE_FILMS else film


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
