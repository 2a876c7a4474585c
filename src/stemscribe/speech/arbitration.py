"""Which hearing of a region to believe, stretch by stretch.

Separated vocals are understood better than the mix under loud music, and worse under none; with a little of the mix
left in, better still, but how much is best differs from one recording to the next. Recognition errors of different
hearings differ more than what they get right: so the words on which the hearings agree are most likely those that
were said. The choice is that of minimum Bayes risk (Goel and Byrne 2000, Minimum Bayes-risk automatic speech
recognition): of all hearings, the one from which the others differ least, and between equals the one that is surest of
its words. It is made for each stretch between pauses in which no hearing has a word, since one hearing is seldom the
best of a whole region. `benchmarks/arbitration.py` shows how the rules were found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from rapidfuzz.distance import Levenshtein

from stemscribe.speech.doubts import DoubtRules, doubts, plain_words, units
from stemscribe.speech.recognition import overlap
from stemscribe.speech.sound import Sound
from stemscribe.timebase import Seconds
from stemscribe.transcript import Audio, Region, Segment, Word

Hearings = Mapping[Audio, Sequence[Segment]]
_FROM_VOCALS: tuple[Audio, ...] = ("vocals", "blend-10", "blend-20", "blend-35")
_LOOSE: Seconds = 0.5  # the detector goes on this long after the last word, or nearly


@dataclass(frozen=True)
class ArbitrationRules:
    """When to listen again, and how to choose.

    Attributes:
        clear_db: voices this far over everything else need no separation.
        unwritten: so is one that has no word for so much certain speech.
        unsure: a first hearing with an average log probability below this is heard again.
        silent: so is one with more than this share of its words where the vocals are silent.
        others: what is listened to then, in this order.
        enough: the first so many of them, which differ most, are listened to first,
        alike: and the rest is not asked if they differ in no more than this share of the words.
        pause: of this length, and without a word in any hearing, parts two stretches.
        confidence: what a unit of log probability of a word counts against the share of words that differ.
        unheard: the log probability that stands for having heard nothing.
    """

    clear_db: float = 10.0
    unwritten: Seconds = 1.5
    unsure: float = -0.5
    silent: float = 0.2
    others: tuple[Audio, ...] = ("vocals", "blend-35", "blend-20", "blend-10")
    enough: int = 2
    alike: float = 0.1
    pause: Seconds = 0.3
    confidence: float = 0.3
    unheard: float = -2.5


@dataclass(frozen=True)
class Score:
    """How a hearing of a stretch stands among the others.

    Attributes:
        audio: what was listened to.
        risk: the share of words in which others of the same kind differ from it, on average; 0 to 1.
        confidence: the mean log probability of its words.
        total: what decides; the highest is chosen.
    """

    audio: Audio
    risk: float
    confidence: float
    total: float


@dataclass(frozen=True)
class Stretch:
    """A span between pauses, what each hearing has there, and which one was chosen.

    Attributes:
        start: from here on, in seconds of the mix.
        end: and up to here.
        scores: of all hearings, the best first.
    """

    start: Seconds
    end: Seconds
    scores: tuple[Score, ...]

    @property
    def best(self) -> Score:
        return self.scores[0]


def drowned(sound: Sound, rules: ArbitrationRules = ArbitrationRules()) -> str:
    """Why it is of no use to hear a region in the mix; empty where the voices stand out of it."""
    clear = sound.voices_over_music_db
    return f"voices only {clear:.0f} dB over everything else" if clear < rules.clear_db else ""


def worth_another(
    sound: Sound,
    audio: Audio,
    first: Sequence[Segment],
    speech: Sequence[Region],
    rules: ArbitrationRules = ArbitrationRules(),
    *,
    doubt: DoubtRules,
) -> str:
    """Why a region should be heard again otherwise; empty where the first hearing will do.

    Args:
        sound: the region.
        audio: what was listened to first: the mix, or the centre channel, in which voices stand free as it is.
        first: what was heard there.
        speech: where the detector is sure of speech within the region.
        rules: when to listen again.
        doubt: when a text is not believed.
    """
    if audio == "mix" and (reason := drowned(sound, rules)):
        return reason
    if audio == "centre" and not first:
        return "nothing heard in the centre"
    surest = min((segment.average_log_probability or 0.0 for segment in first), default=0.0)
    if surest < rules.unsure:
        return f"heard in the {audio} with an average log probability of {surest:.2f}"
    against = next((each.reason for segment in first for each in doubts(segment, sound, speech, doubt)), "")
    if against:
        return f"doubtful in the {audio}: {against}"
    words = _words(first)
    silent = sum(sound.voiced_share(word.start, word.end) == 0.0 for word in words)
    if silent > rules.silent * len(words):
        return f"{silent} of {len(words)} words heard in the {audio} where the vocals are silent"
    unwritten = sum(max(0.0, span.duration - overlap(span, words) - _LOOSE) for span in speech)
    if unwritten > rules.unwritten:
        return f"{unwritten:.1f} s of certain speech without a word in the {audio}"
    return ""


def agreed(hearings: Hearings, rules: ArbitrationRules = ArbitrationRules()) -> bool:
    """Whether hearings that differ most have nearly the same words, so that what lies between them has them too."""
    texts = [units(plain_words("".join(word.text for word in _words(found)))) for found in hearings.values()]
    return all(_difference(texts[0], other) <= rules.alike for other in texts[1:])


def in_order(hearings: Mapping[Audio, list[Segment]]) -> dict[Audio, list[Segment]]:
    """Hearings from the vocals alone to the one with most of the mix: between equals, the purer one is believed."""
    return {audio: hearings[audio] for audio in _FROM_VOCALS if audio in hearings}


def arbitrate(hearings: Hearings, rules: ArbitrationRules = ArbitrationRules()) -> tuple[Stretch, ...]:
    """The stretches of a region in which anything was heard, each with its hearings in order of belief."""
    cuts = _pauses(hearings, rules.pause)
    return tuple(
        Stretch(start, end, _scored({audio: _between(found, start, end) for audio, found in hearings.items()}, rules))
        for start, end in pairwise((-math.inf, *cuts, math.inf))
    )


def chosen(hearings: Hearings, stretches: Sequence[Stretch]) -> tuple[Segment, ...]:
    """What was heard, each stretch as it was chosen: segments in order of time, parted where the choice changes."""
    kept: list[Segment] = []
    for audio, found in hearings.items():
        for segment in found:
            kept.extend(_parts(segment, audio, stretches))
    return tuple(sorted(kept, key=lambda segment: (segment.start, segment.end)))


def _pauses(hearings: Hearings, pause: Seconds) -> list[Seconds]:
    """The middles of all spans of at least `pause` in which no hearing has a word."""
    spans = sorted((word.start, word.end) for found in hearings.values() for word in _words(found))
    cuts, latest = [], -math.inf
    for start, end in spans:
        if math.isfinite(latest) and start - latest >= pause:
            cuts.append((start + latest) / 2)
        latest = max(latest, end)
    return cuts


def _scored(words: Mapping[Audio, Sequence[Word]], rules: ArbitrationRules) -> tuple[Score, ...]:
    texts = {audio: units(plain_words("".join(word.text for word in found))) for audio, found in words.items()}
    scores = []
    for audio, found in words.items():
        votes = [_difference(texts[audio], texts[other]) for other in texts if _is_vote(other, audio)]
        risk = sum(votes) / len(votes) if votes else 0.0
        confidence = _confidence(found, rules.unheard)
        scores.append(Score(audio, risk, confidence, rules.confidence * confidence - risk))
    return tuple(sorted(scores, key=lambda score: -score.total))  # stable: between equals, the first that was heard


def _is_vote(other: Audio, audio: Audio) -> bool:
    """Whether one hearing can speak for or against another.

    What was separated is one witness, heard in four ways. The centre channel is another, whom they cannot outvote: who
    contradicts himself less, and is surer, is believed.
    """
    return other != audio and (other in _FROM_VOCALS) == (audio in _FROM_VOCALS)


def _difference(one: Sequence[str], other: Sequence[str]) -> float:
    """The share of words in which two texts differ, 0 to 1."""
    return Levenshtein.distance(one, other) / max(1, len(one), len(other))


def _confidence(words: Sequence[Word], unheard: float) -> float:
    if not words:
        return unheard
    return sum(math.log(max(word.probability, 1e-3)) for word in words) / len(words)


def _words(segments: Sequence[Segment]) -> list[Word]:
    return [word for segment in segments for word in segment.words]


def _between(segments: Sequence[Segment], start: Seconds, end: Seconds) -> list[Word]:
    return [word for word in _words(segments) if start <= (word.start + word.end) / 2 < end]


def _parts(segment: Segment, audio: Audio, stretches: Sequence[Stretch]) -> list[Segment]:
    """The runs of a segment's words in stretches for which its hearing was chosen."""
    runs: list[list[Word]] = []
    before: Stretch | None = None
    for word in segment.words:
        stretch = next(found for found in stretches if (word.start + word.end) / 2 < found.end)
        if stretch.best.audio == audio:
            if before is None or before.best.audio != audio:
                runs.append([])
            runs[-1].append(word)
        before = stretch
    return [_part(segment, run) for run in runs]


def _part(segment: Segment, words: Sequence[Word]) -> Segment:
    if len(words) == len(segment.words):
        return segment
    text = "".join(word.text for word in words).strip()
    return replace(segment, start=words[0].start, end=words[-1].end, text=text, words=tuple(words))
