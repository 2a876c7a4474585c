"""One region from sound to text: heard as often as it pays, and only what can be believed is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stemscribe.choices import AsrAudio
from stemscribe.speech.arbitration import (
    ArbitrationRules,
    Stretch,
    agreed,
    arbitrate,
    chosen,
    drowned,
    in_order,
    worth_another,
)
from stemscribe.speech.doubts import Doubt, DoubtRules, doubts, plain_words, repeats_itself
from stemscribe.speech.faster_whisper import Listening
from stemscribe.speech.recognition import Dropped, Heard, Hearing, within
from stemscribe.speech.scripts import main_script, share_in
from stemscribe.speech.sound import Sound
from stemscribe.speech.word_times import settled
from stemscribe.timebase import Seconds
from stemscribe.transcript import Audio, Region, Segment

Ear = Callable[[Sequence[Listening]], list[list[Segment]]]
"""Listens to a region in one or several of its sounds, to each in the same way; times in seconds of the mix."""

_AGAIN = "heard again without repeating"
_NOWHERE_ELSE = "nothing heard elsewhere"
_FIXED: dict[AsrAudio, Audio] = {"mix": "mix", "vocals": "vocals", "blend": "blend-20"}


@dataclass(frozen=True)
class ListeningRules:
    """How a region is listened to.

    Attributes:
        arbitration: when to listen again, and how to choose.
        doubt: when a text is not believed.
        in_script: a text with a smaller share of its letters in the wanted scripts is written in another one.
        unreadable: what the decoder writes when it is kept to a script has to be surer than this,
        stammer: and compress no better than this (Indic letters are three bytes each, and compress well),
        as_long: and its letters this share of those that it writes otherwise.
        unlikely: a text with an average log probability below this is marked: it is hardly to be believed.
        unread: how much of a voice the model may leave unread at the end of a region: the detector goes on for half a
            second after the last word.
    """

    arbitration: ArbitrationRules = field(default_factory=ArbitrationRules)
    doubt: DoubtRules = field(default_factory=DoubtRules)
    in_script: float = 0.5
    unreadable: float = -0.8
    stammer: float = 4.0
    as_long: float = 0.5
    unlikely: float = -1.0
    unread: Seconds = 0.5


HURRIED = ListeningRules(arbitration=ArbitrationRules(others=("vocals", "blend-35")))
"""For whoever only wants to know whether it works: two sounds are heard."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of every region.

    Attributes:
        language: what is spoken.
        audio: what to listen to.
        scripts: to write in; empty for any.
    """

    language: str
    audio: AsrAudio
    scripts: frozenset[str] = frozenset()


def listen(
    number: int,
    region: Region,
    sound: Sound,
    speech: Sequence[Region],
    wanted: Wanted,
    ear: Ear,
    rules: ListeningRules = ListeningRules(),
) -> Heard:
    """What is said in a region, what was not believed, and all that was heard on the way.

    Args:
        number: of the region.
        region: in seconds of the mix.
        sound: the region's.
        speech: where the detector is sure of speech.
        wanted: what is asked.
        ear: what listens.
        rules: how.
    """
    attention = _Attention(sound, tuple(within(region, speech)), wanted, ear, rules)
    hearings = attention.pay()
    stretches = arbitrate(hearings, rules.arbitration)
    best = _explained(chosen(hearings, stretches), stretches, attention.why)
    best = tuple(settled(_without_loops(best, sound, speech, attention, rules), region, sound))
    kept: list[Segment] = []
    dropped: list[Dropped] = []
    for segment in (segment.in_milliseconds() for segment in best):
        against = (*_alone(segment, attention, rules), *doubts(segment, sound, speech, rules.doubt))
        if against and against[0].fatal:
            dropped.append(Dropped(segment, against[0].reason))
        else:
            reasons = tuple(doubt.reason for doubt in against) or _unlikely(segment, rules)
            kept.append(replace(segment, doubts=(*reasons, *_other_script(segment, wanted, rules))))
    return Heard(number, tuple(kept), tuple(dropped), tuple(_accounts(number, region, attention, stretches, best)))


@dataclass
class _Attempt:
    """One time of listening.

    Attributes:
        audio: what was listened to.
        why: why it was.
        found: what was heard.
        repeat: whether phrases could be said again.
        scripts: to which the decoder was kept.
        is_used: whether it is among what was chosen from.
    """

    audio: Audio
    why: str
    found: list[Segment]
    repeat: bool
    scripts: frozenset[str]
    is_used: bool = True


class _Attention:
    """Listens to a region as often as it pays.

    Attributes:
        attempts: all that was heard, in order.
    """

    def __init__(self, sound: Sound, speech: Sequence[Region], wanted: Wanted, ear: Ear, rules: ListeningRules) -> None:
        self._sound, self._speech, self._wanted, self._ear, self._rules = sound, speech, wanted, ear, rules
        self._until = _last_voice(sound, speech, rules) - sound.start
        self._scripts: frozenset[str] = frozenset()
        self._is_script_settled = False
        self.attempts: list[_Attempt] = []

    @property
    def why(self) -> dict[Audio, str]:
        """Why each audio was listened to."""
        return {attempt.audio: attempt.why for attempt in self.attempts if attempt.is_used and attempt.repeat}

    def pay(self) -> dict[Audio, list[Segment]]:
        """The hearings to choose from: the region as it is heard in one audio, or in several."""
        asked = self._wanted.audio
        if asked != "auto":
            return self._heard((_FIXED[asked],), "as asked")
        start: Audio = "mix" if self._sound.centre is None else "centre"
        rules = self._rules.arbitration
        if start == "mix" and (reason := drowned(self._sound, rules)):
            # The mix would have no vote: the blends know what it knows. What nobody else has heard is not to be lost.
            hearings = self._in_others(reason)
            return hearings if any(hearings.values()) else self._heard((start,), _NOWHERE_ELSE)
        first = self._heard((start,), f"the {start} first")[start]
        reason = worth_another(self._sound, start, first, self._speech, rules, doubt=self._rules.doubt)
        if not reason:
            level = f"voices {self._sound.voices_over_music_db:.0f} dB over everything else"
            why = f"clear in the mix: {level}" if start == "mix" else "clear in the centre channel"
            next(attempt for attempt in self.attempts if attempt.is_used).why = why
            return {start: first}
        hearings = self._in_others(reason)
        if start == "centre":
            hearings["centre"] = first
        return hearings if any(hearings.values()) else {start: first}

    def _in_others(self, reason: str) -> dict[Audio, list[Segment]]:
        """The region in all that separation has made of it, unless the two that differ most have the same words."""
        rules = self._rules.arbitration
        hearings = self._heard(rules.others[: rules.enough], reason)
        others = rules.others[rules.enough :]
        if others and (not agreed(hearings, rules) or self._is_doubted(hearings)):
            hearings |= self._heard(others, reason)
        return in_order(hearings)

    def _is_doubted(self, hearings: Mapping[Audio, Sequence[Segment]]) -> bool:
        """Whether there is anything that a further hearing might clear up."""
        found = [segment for segments in hearings.values() for segment in segments]
        return not _is_beyond_doubt(found, self._sound, self._speech, self._rules)

    def again(self, audio: Audio) -> list[Segment]:
        """The region in an audio by a decoder that cannot go round in a loop."""
        return self._hear((audio,), f"{self.why[audio]}; again, without repeating", repeat=False)[0].found

    def _hear(self, audios: Sequence[Audio], why: str, *, repeat: bool = True) -> list[_Attempt]:
        common = Listening(
            self._wanted.language,
            "mix",
            scripts=self._scripts,
            repeat=repeat,
            until=self._until,
        )
        heard = self._ear([replace(common, audio=audio) for audio in audios])
        attempts = [
            _Attempt(audio, why, found, repeat, self._scripts) for audio, found in zip(audios, heard, strict=True)
        ]
        self.attempts += attempts
        return attempts

    def _heard(self, audios: Sequence[Audio], why: str) -> dict[Audio, list[Segment]]:
        """The region in some audios, in the right script if the decoder can write it."""
        return {attempt.audio: self._in_script(attempt) for attempt in self._hear(audios, why)}

    def _in_script(self, attempt: _Attempt) -> list[Segment]:
        """What was heard; the first that is written in another script is heard again by a decoder that is kept to the
        right one.

        If that can write it, it is kept to it for the rest of the region; if not, it is not asked again.
        """
        scripts, rules = self._wanted.scripts, self._rules
        has_failed = self._is_script_settled and not self._scripts
        if attempt.scripts or has_failed or share_in(_text(attempt.found), scripts) >= rules.in_script:
            return attempt.found
        is_known, self._scripts, self._is_script_settled = self._is_script_settled, scripts, True
        (again,) = self._hear((attempt.audio,), f"{attempt.why}; again, kept to the script")
        if is_known or self._is_readable(again.found, attempt.found):
            attempt.is_used = False
            return again.found
        self._scripts, again.is_used = frozenset(), False
        attempt.why = f"{attempt.why}; kept to the script it was not readable"
        return attempt.found

    def _is_readable(self, again: Sequence[Segment], found: Sequence[Segment]) -> bool:
        """Whether a decoder that was kept to a script has written about as much as without, is sure, and no stammer."""
        surest = min((segment.average_log_probability or 0.0 for segment in again), default=-math.inf)
        stammer = max((segment.compression_ratio or 0.0 for segment in again), default=0.0)
        length, before = len(plain_words(_text(again))), len(plain_words(_text(found)))
        rules = self._rules
        return surest >= rules.unreadable and stammer <= rules.stammer and length >= rules.as_long * before


def _last_voice(sound: Sound, speech: Sequence[Region], rules: ListeningRules) -> Seconds:
    """Where the last voice of a region ends, by the vocals and by the detector."""
    return max(sound.voiced_but_for(rules.unread), *(span.end - rules.unread for span in speech), sound.start)


def _alone(segment: Segment, attention: _Attention, rules: ListeningRules) -> tuple[Doubt, ...]:
    """What speaks against a text that was heard in the mix and nowhere else: that it is not sure."""
    confidence = segment.average_log_probability or 0.0
    why = attention.why.get(segment.heard, "")  # which goes on where the decoder was kept to a script as well
    if not why.startswith(_NOWHERE_ELSE) or confidence >= rules.doubt.unsure:
        return ()
    return (Doubt(f"{_NOWHERE_ELSE}, and here with an average log probability of {confidence:.2f}", fatal=True),)


def _without_loops(
    found: Sequence[Segment], sound: Sound, speech: Sequence[Region], attention: _Attention, rules: ListeningRules
) -> list[Segment]:
    """Segments in order, of which those that go round in a loop were heard once more by a decoder that cannot.

    What would be dropped gives way to whatever is heard then; what may have been said so gives way only to what is
    beyond doubt. A loop where nothing else is heard stays, to be judged.
    """
    kept = [segment for segment in found if not repeats_itself(segment, rules.doubt)]
    looping = [segment for segment in found if segment not in kept]
    again = {audio: attention.again(audio) for audio in dict.fromkeys(segment.heard for segment in looping)}
    for loop in looping:
        instead = [replace(one, reason=_AGAIN) for one in again[loop.heard] if _middle_within(one, loop)]
        is_better = _is_dropped(loop, sound, speech, rules) or _is_beyond_doubt(instead, sound, speech, rules)
        kept += instead if instead and is_better else [loop]
    return sorted(kept, key=lambda segment: segment.start)


def _is_dropped(segment: Segment, sound: Sound, speech: Sequence[Region], rules: ListeningRules) -> bool:
    return any(doubt.fatal for doubt in doubts(segment, sound, speech, rules.doubt))


def _is_beyond_doubt(
    segments: Iterable[Segment], sound: Sound, speech: Sequence[Region], rules: ListeningRules
) -> bool:
    return not any(
        doubts(segment, sound, speech, rules.doubt) or (segment.average_log_probability or 0.0) < rules.doubt.unsure
        for segment in segments
    )


def _middle_within(segment: Segment, span: Segment) -> bool:
    return span.start <= (segment.start + segment.end) / 2 <= span.end


def _explained(found: Iterable[Segment], stretches: Sequence[Stretch], why: Mapping[Audio, str]) -> tuple[Segment, ...]:
    """Segments with the reason for which each was taken from the audio that it was heard in."""
    explained = []
    for segment in found:
        middle = (segment.start + segment.end) / 2
        stretch = next(found for found in stretches if middle < found.end)
        reason = why.get(segment.heard, "")
        if len(stretch.scores) > 1:
            reason = f"{reason}; other hearings differ from it in {stretch.best.risk:.0%} of the words"
        explained.append(replace(segment, reason=reason))
    return tuple(explained)


def _unlikely(segment: Segment, rules: ListeningRules) -> tuple[str, ...]:
    confidence = segment.average_log_probability or 0.0
    return (f"an average log probability of {confidence:.2f}",) if confidence < rules.unlikely else ()


def _other_script(segment: Segment, wanted: Wanted, rules: ListeningRules) -> tuple[str, ...]:
    if share_in(segment.text, wanted.scripts) >= rules.in_script:
        return ()
    return (f"script: {main_script(segment.text).capitalize()}",)


def _accounts(
    number: int, region: Region, attention: _Attention, stretches: Sequence[Stretch], best: Sequence[Segment]
) -> Iterable[Hearing]:
    """The record of each hearing, in the order in which they were made."""
    for attempt in attention.attempts:
        audio, found = attempt.audio, attempt.found
        own = [segment for segment in best if segment.heard == audio and (segment.reason != _AGAIN) == attempt.repeat]
        is_candidate = attempt.is_used and attempt.repeat and len(stretches[0].scores) > 1
        scores = [score.total for stretch in stretches for score in stretch.scores if score.audio == audio]
        yield Hearing(
            region=number,
            start=region.start,
            end=region.end,
            audio=audio,
            why=attempt.why,
            text=_text(found),
            words=sum(len(segment.words) for segment in found),
            chosen=sum(len(segment.words) for segment in own) if attempt.is_used else 0,
            score=round(sum(scores) / len(scores), 4) if scores and is_candidate else None,
            average_log_probability=min((s.average_log_probability or 0.0 for s in found), default=None),
            no_speech_probability=max((s.no_speech_probability or 0.0 for s in found), default=None),
            compression_ratio=max((s.compression_ratio or 0.0 for s in found), default=None),
        )


def _text(segments: Sequence[Segment]) -> str:
    return " ".join(segment.text for segment in segments)
