"""Which windows need the model at all: arithmetic on what a cheap look at the film has found.

A film is mostly without voices, and some of it is nothing but a voice. What the model would make of those windows is
known beforehand: of the first, no vocals; of the second, the mix. So only the others are separated. A window is silent
only if no voice comes near it: every frame near one is estimated by the windows that would estimate it
without a gate. Where treatments meet, windows overlap as ever, and one fades into the other.

The evidence comes hop by hop: what a speech detector hears in the mix and in the vocals of a rough separation, and how
loud these vocals are. When in doubt there is a voice: what is separated for nothing costs seconds, and a line that is
lost is lost. Where the mix alone tells that somebody speaks over something else, no rough separation is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from stemscribe.arrays import Array
from stemscribe.separation.windows import Window, WindowPlan
from stemscribe.timebase import Seconds, to_seconds

Treatment = Literal["separated", "silent", "passed"]
"""What becomes of a window: it goes through the model, its vocals are silence, or its vocals are the mix."""
Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class GateRules:
    """What counts as a voice. Levels are in dB.

    Chosen on mixtures of two readers with music up to 15 dB louder, and on six minutes of music alone: rough vocals of
    music are mostly 40 to 85 dB below it, those of speech under music 10 dB louder within 15 dB of it.

    Attributes:
        certain: probability of speech in the mix that needs no other witness,
        certain_for: if it lasts for so long; music is taken for speech now and then, for a moment.
        in_mix: probability of speech in the mix that counts where the rough vocals are audible.
        in_vocals: and that in the rough vocals.
        audible_db: how far below the mix they are still audible.
        loud_db: how far below the mix they are as loud as somebody who sings or shouts,
        loud_for: if it lasts for so long.
        floor_db: rough vocals below this are silence.
        margin: how far from a voice the model's word is wanted; more than what recognition hears around one.
        others_db: how far below the mix everything else must be in a window that is nothing but a voice: music under
            speech was at most 13 dB below it, the noise of recordings and what is left of the voice itself 23 or more.
            A mix that is louder than that in the pauses of certain speech holds something else as well, unseen.
        pause_db: and how far below the voice in its pauses, where music would go on.
    """

    certain: float = 0.5
    certain_for: Seconds = 0.3
    in_mix: float = 0.35
    in_vocals: float = 0.1
    audible_db: float = 30.0
    loud_db: float = 16.0
    loud_for: Seconds = 1.0
    floor_db: float = -60.0
    margin: Seconds = 0.7
    others_db: float = 25.0
    pause_db: float = 35.0


@dataclass(frozen=True)
class Evidence:
    """What a cheap look at a film has found, `[hops]` each.

    Attributes:
        hop: from one to the next.
        mix_speech: probability of speech in the mix.
        vocals_speech: and in the rough vocals.
        mix_db: level of the mix in dBFS.
        vocals_db: level of the rough vocals.
        others_db: level of everything else.
    """

    hop: Seconds
    mix_speech: Array
    vocals_speech: Array
    mix_db: Array
    vocals_db: Array
    others_db: Array


@dataclass(frozen=True)
class MixEvidence:
    """The part of the evidence that needs no rough separation, `[hops]` each."""

    hop: Seconds
    mix_speech: Array
    mix_db: Array


@dataclass(frozen=True)
class Treated:
    """Windows in a row that were treated alike.

    Attributes:
        treatment: how.
        first: index of the first one.
        windows: how many.
        start: where the first one begins on the mix.
        end: where the last one ends.
    """

    treatment: Treatment
    first: int
    windows: int
    start: Seconds
    end: Seconds


def treatments(
    plan: WindowPlan, sample_rate: int, evidence: Evidence, rules: GateRules = GateRules()
) -> list[Treatment]:
    """How each window of a film is to be treated.

    Args:
        plan: the windows.
        sample_rate: in Hz.
        evidence: of the whole film; what it does not reach counts as silence.
        rules: what counts as a voice.
    """
    heard = MixEvidence(evidence.hop, evidence.mix_speech, evidence.mix_db)
    certain = _certain(heard, rules)
    voices = _near(_voices(evidence, certain, rules), round(rules.margin / evidence.hop))

    def treatment(window: Window) -> Treatment:
        span = _hops(window, sample_rate, evidence.hop)
        if not voices[span].any():
            return "silent"
        alone = not _is_voice_over_something(heard, certain, span, rules) and _is_voice_alone(evidence, span, rules)
        return "passed" if alone else "separated"

    return [treatment(window) for window in plan]


def open_questions(plan: WindowPlan, sample_rate: int, heard: MixEvidence, rules: GateRules = GateRules()) -> Mask:
    """Where the rest of the evidence is needed to know how windows are to be treated, `[hops]`.

    Windows elsewhere are separated whatever it would say.

    Args:
        plan: the windows.
        sample_rate: in Hz.
        heard: what is known beforehand, of the whole film.
        rules: what counts as a voice.
    """
    certain, around = _certain(heard, rules), round((rules.margin + rules.loud_for) / heard.hop)
    is_open = np.zeros(len(certain), np.bool_)
    for window in plan:
        span = _hops(window, sample_rate, heard.hop)
        if not _is_voice_over_something(heard, certain, span, rules):
            is_open[max(0, span.start - around) : span.stop + around] = True
    return is_open


def _hops(window: Window, sample_rate: int, hop: Seconds) -> slice:
    """The hops that a window touches."""
    first = int(to_seconds(window.start, sample_rate) / hop)
    return slice(first, int(np.ceil(to_seconds(window.stop, sample_rate) / hop)))


def in_runs(plan: WindowPlan, sample_rate: int, treated: Sequence[Treatment]) -> Iterator[Treated]:
    """Treatments as they are recorded: windows in a row that are treated alike, together."""
    for treatment, group in groupby(zip(plan, treated, strict=True), key=lambda pair: pair[1]):
        windows = [window for window, _ in group]
        start, end = (round(to_seconds(frame, sample_rate), 3) for frame in (windows[0].start, windows[-1].stop))
        yield Treated(treatment, windows[0].index, len(windows), start, end)


def out_of_runs(runs: Sequence[Treated]) -> list[Treatment]:
    """The treatment of each window, from what was recorded."""
    return [run.treatment for run in runs for _ in range(run.windows)]


def _certain(heard: MixEvidence, rules: GateRules) -> Mask:
    """Where there is a voice by the mix alone."""
    return _lasting(heard.mix_speech >= rules.certain, round(rules.certain_for / heard.hop))


def _voices(evidence: Evidence, certain: Mask, rules: GateRules) -> Mask:
    """Where there is a voice, or may be one."""
    mix, vocals = evidence.mix_db, evidence.vocals_db
    is_there = vocals > rules.floor_db
    audible = is_there & (vocals > mix - rules.audible_db)
    speech = (evidence.mix_speech >= rules.in_mix) | (evidence.vocals_speech >= rules.in_vocals)
    loud = _lasting(is_there & (vocals > mix - rules.loud_db), round(rules.loud_for / evidence.hop))
    voices: Mask = (speech & audible) | certain | loud
    return voices


def _lasting(mask: Mask, hops: int) -> Mask:
    """What of a mask goes on for so many hops."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    lasting = np.zeros_like(mask)
    for start, stop in edges.reshape(-1, 2):
        lasting[start:stop] = stop - start >= hops
    return lasting


def _near(mask: Mask, hops: int) -> Mask:
    """A mask, and so many hops before and behind whatever it marks."""
    changes = np.zeros(len(mask) + 1, np.int64)
    found = np.flatnonzero(mask)
    np.add.at(changes, np.maximum(found - hops, 0), 1)
    np.add.at(changes, np.minimum(found + hops + 1, len(mask)), -1)
    near: Mask = np.cumsum(changes[:-1]) > 0
    return near


def _is_voice_over_something(heard: MixEvidence, certain: Mask, span: slice, rules: GateRules) -> bool:
    """Whether the mix alone tells that a span holds a voice and something else: its pauses are too loud."""
    speech, mix = heard.mix_speech[span], heard.mix_db[span]
    pauses = speech < rules.in_mix
    if not certain[span].any() or not pauses.any():
        return False
    return float(np.median(mix[pauses])) > _power_db(mix[speech >= rules.certain]) - rules.others_db


def _is_voice_alone(evidence: Evidence, span: slice, rules: GateRules) -> bool:
    """Whether there is nothing beside speech in a span, not even in its pauses."""
    others, mix = evidence.others_db[span], evidence.mix_db[span]
    probability = np.maximum(evidence.mix_speech[span], evidence.vocals_speech[span])
    speech, pauses = probability >= rules.certain, probability < rules.in_mix
    if not speech.any() or _power_db(others) > _power_db(mix) - rules.others_db:
        return False
    return not pauses.any() or float(np.median(others[pauses])) <= _power_db(mix[speech]) - rules.pause_db


def _power_db(levels_db: Array) -> float:
    """The level of several hops together."""
    return 10 * float(np.log10(np.mean(10 ** (levels_db.astype(np.float64) / 10))))
