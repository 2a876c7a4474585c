"""Region by region from sound to text: which language, what was said, and what of it is to be believed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from stemscribe.transcript import Region, Segment

_LANGUAGE_SAMPLES = 5
DOUBTFUL_LOG_PROBABILITY = -0.6


@dataclass(frozen=True)
class Dropped:
    """A segment that is not believed, and why."""

    segment: Segment
    reason: str


@dataclass(frozen=True)
class Heard:
    """What came of one region."""

    region: int
    segments: tuple[Segment, ...]
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True)
class Recognition:
    """`segments.json`: everything that was heard, in seconds of the mix.

    Attributes:
        language: the code that was given or found.
        language_probability: how sure the model was; `None` where the language was given.
        model: the recognition model.
        segments: what is believed.
        dropped: what is not, with reasons.
    """

    language: str
    language_probability: float | None
    model: str
    segments: tuple[Segment, ...]
    dropped: tuple[Dropped, ...]
    version: int = 1


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


def judge(index: int, found: Iterable[Segment], speech: Sequence[Region]) -> Heard:
    """Sort what the recogniser wrote for a region into what is believed and what is not.

    Over music without speech Whisper writes what it often saw there in training. Two marks tell: no letters at all,
    or little confidence where the speech detector heard nobody.
    """
    segments: list[Segment] = []
    dropped: list[Dropped] = []
    for segment in found:
        reason = _doubt(segment, speech)
        if reason:
            dropped.append(Dropped(segment, reason))
        else:
            segments.append(segment)
    return Heard(index, tuple(segments), tuple(dropped))


def overlap(span: Region | Segment, others: Sequence[Region]) -> float:
    """How many seconds of a span the others cover, which are in order and do not overlap each other."""
    covered = 0.0
    for index in range(bisect_right(others, span.start, key=lambda other: other.end), len(others)):
        other = others[index]
        if other.start >= span.end:
            break
        covered += max(0.0, min(span.end, other.end) - max(span.start, other.start))
    return covered


def _doubt(segment: Segment, speech: Sequence[Region]) -> str:
    if not any(character.isalnum() for character in segment.text):
        return "no words"
    confidence = segment.average_log_probability
    unsure = confidence is not None and confidence < DOUBTFUL_LOG_PROBABILITY
    if unsure and overlap(segment, speech) <= 0.0:
        return f"no speech detected here, and an average log probability of {confidence:.2f}"
    return ""
