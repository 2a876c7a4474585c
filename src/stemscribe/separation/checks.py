"""What makes a window's estimate doubtful: arithmetic on one window, nothing else.

A model that has gone wrong does not say so: a graphics card that overheats, a driver, a bit that flipped in memory or a
damaged library give numbers like any other. Some numbers cannot be right, whatever the film holds, and only those are
doubted here. What may be right is not: a film without voices has silent vocals (but never exactly silent ones), a voice
sets in at any moment, and a stem exceeds full scale whenever it likes, which is what the gain in `separation.json` is
for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from stemscribe.arrays import Array
from stemscribe.separation.windows import Window
from stemscribe.timebase import Seconds, clock, to_seconds

Kind = Literal["not_finite", "too_loud", "dead", "sum", "conflict", "seam", "click"]

HARD: frozenset[Kind] = frozenset({"not_finite", "too_loud", "dead", "sum", "conflict"})
"""What no film makes a sound model do, unless it is one click in silence: such a window is separated once more."""

WORDS: dict[Kind, str] = {
    "not_finite": "samples that are no numbers",
    "too_loud": "absurdly loud samples",
    "dead": "stems that stand still while the mix does not",
    "sum": "stems that do not add up to the mix",
    "conflict": "windows that contradict each other",
    "seam": "a change of mind between two windows",
    "click": "a click where two windows meet",
}


@dataclass(frozen=True)
class Doubt:
    """What cannot be right about a window, and the evidence.

    Attributes:
        window: its index.
        start: where it is on the mix, in seconds.
        end: up to where.
        kind: what it is; `WORDS` says it in words.
        stem: of which stem; empty when it is about all of them.
        evidence: a number, in `unit`.
    """

    window: int
    start: Seconds
    end: Seconds
    kind: Kind
    stem: str
    evidence: float
    unit: str


@dataclass(frozen=True)
class Limits:
    """Where doubt begins.

    What is usual was measured with the real model (htdemucs), all four stems: on 121 windows of the films, the music
    and the speech over music that we develop with, and on made-up extremes (noise, tones, next to silence, one side
    only, both sides opposed, one click in silence).

    Attributes:
        loudness: how many times louder than the mix's peak in the window (or than the whole film's standard deviation,
            where the window is quieter than that) a stem may be. Usual: up to 1.1; a click in silence: 33.
        unusable: from how many times on a sample becomes silence: it would bring down the whole film by 40 dB.
        still_seconds: for how long a stem may stand still while the mix does not. Usual: two frames.
        sum_db: how strong, against the mix, what is missing between the sum of all stems and the mix may be. Usual: -20
            or less; noise: -15; a burst of 45 ms in silence, of which the model makes nonsense: 9.
        conflict_db: how strong, against the mix, the difference of two windows about the same frames may be. A stem
            that is all of the mix in one, and nothing of it in the other, makes 0 dB; the mix and its opposite, 6.
            Usual: -3 or less.
        seam_db: from which difference on a seam is worth a look: there the model has changed its mind.
        floor_db: what is quieter than this, against the whole film, counts as being as loud as this: of next to
            silence, the model's own noise is large in proportion.
        click: how many times larger than all steps around it the step between the frames at a seam may be. Usual: up
            to 1.
        click_step: the smallest step that is called a click (full scale is 1).
    """

    loudness: float = 10.0
    unusable: float = 100.0
    still_seconds: float = 0.1
    sum_db: float = -6.0
    conflict_db: float = 6.0
    seam_db: float = -6.0
    floor_db: float = -40.0
    click: float = 4.0
    click_step: float = 1e-3


LIMITS = Limits()
CLICK_SURROUNDINGS = 441
"""How many steps on either side of a seam the one at the seam is compared with: 10 ms at 44.1 kHz."""


@dataclass(frozen=True)
class Estimate:
    """What there is to judge of a window; levels are those that the model sees.

    Attributes:
        window: which one.
        sample_rate: in Hz.
        stems: the names of the stems; several are all that the mix is made of.
        mix: what the model was fed for the window's frames, `[channels, frames]`.
        sound: what it made of them, `[stems, channels, frames]`.
        foretold: what the window before says of the first of these frames, `[stems, channels, ≤ frames]`; `None` for
            the first window.
    """

    window: Window
    sample_rate: int
    stems: Sequence[str]
    mix: Array
    sound: Array
    foretold: Array | None = None

    @property
    def by_stem(self) -> Iterator[tuple[str, Array]]:
        return zip(self.stems, self.sound, strict=True)

    def doubt(self, kind: Kind, evidence: float, unit: str, *, stem: str = "", span: tuple[int, int]) -> Doubt:
        """A doubt about the frames of a span `(first, stop)`, counted from the window's start."""
        start, end = (to_seconds(self.window.start + frame, self.sample_rate) for frame in span)
        return Doubt(self.window.index, round(start, 6), round(end, 6), kind, stem, round(float(evidence), 2), unit)


def examine(estimate: Estimate, limits: Limits = LIMITS) -> tuple[Doubt, ...]:
    """All that cannot be right about an estimate; the same for the same estimate, to the last digit.

    Of one with samples that cannot be used nothing else is asked.
    """
    return tuple(_unusable(estimate, limits)) or (
        *_dead(estimate, limits),
        *_sum(estimate, limits),
        *_disagreement(estimate, limits),
    )


def is_hard(doubts: Iterable[Doubt]) -> bool:
    """Whether any of them is a reason to separate the window once more."""
    return any(doubt.kind in HARD for doubt in doubts)


def summary(doubts: Iterable[Doubt]) -> str:
    """What was doubted, how often, and where first: for one line of the log.

    >>> summary([Doubt(3, 17.55, 18.0, "dead", "vocals", 0.45, "s"), Doubt(9, 52.65, 60.45, "dead", "drums", 1, "s")])
    'stems that stand still while the mix does not in 2 windows (first at 0:17.550)'
    """
    found: dict[Kind, list[Doubt]] = {}
    for doubt in doubts:
        found.setdefault(doubt.kind, []).append(doubt)
    return ", ".join(
        f"{WORDS[kind]} in {_windows(each)} (first at {clock(min(doubt.start for doubt in each))})"
        for kind, each in found.items()
    )


def _windows(doubts: list[Doubt]) -> str:
    count = len({doubt.window for doubt in doubts})
    return f"{count} window{'s' if count > 1 else ''}"


def silenced(estimate: Estimate, silence: float, limits: Limits = LIMITS) -> Array:
    """An estimate with `silence` in the place of samples that cannot be used, `[stems, channels, frames]`.

    Those are no numbers, or so loud that next to them nothing would be left of the film.
    """
    usable = np.abs(estimate.sound) <= limits.unusable * _reference(estimate)
    return np.where(usable, estimate.sound, np.float32(silence))


def find_click(
    window: Window,
    seam: int,
    sample_rate: int,
    stem: str,
    sound: Array,
    mix: Callable[[], Array],
    limits: Limits = LIMITS,
) -> Doubt | None:
    """A step at a seam of a finished stem that stands out from its surroundings, and that the mix does not have.

    A level that jumps by itself is no evidence: voices set in. Two windows of different level are in `conflict`.

    Args:
        window: the later of the two that meet there.
        seam: the frame of the mix before which it lies.
        sample_rate: in Hz.
        stem: its name.
        sound: the stem around the seam, `[channels, 2 n]`, `n` frames before it and `n` after.
        mix: gives the same frames of the mix; asked only where there is a step to be explained.
        limits: from where on it is one.
    """
    steps = np.abs(np.diff(sound))
    middle = steps.shape[-1] // 2
    step = float(steps[:, middle].max())
    steps[:, middle] = 0.0
    if step <= max(limits.click * float(steps.max()), limits.click_step):
        return None
    if step <= 2 * float(np.abs(np.diff(mix()))[:, middle].max()):
        return None
    at = round(to_seconds(seam, sample_rate), 6)
    return Doubt(window.index, at, at, "click", stem, round(step, 6), "of full scale")


def _reference(estimate: Estimate) -> float:
    """What a stem's loudness is measured by."""
    return max(float(np.abs(estimate.mix).max(initial=0.0)), 1.0)


def _unusable(estimate: Estimate, limits: Limits) -> Iterator[Doubt]:
    """Samples that are no numbers, or that are absurd ones."""
    reference = _reference(estimate)
    loudest = limits.loudness * reference
    for stem, sound in estimate.by_stem:
        if max(sound.max(), -sound.min()) <= loudest:  # not so with a NaN in it
            continue
        no_number = ~np.isfinite(sound)
        if no_number.any():
            yield estimate.doubt("not_finite", int(no_number.sum()), "samples", stem=stem, span=_span(no_number))
        loudness = np.abs(np.where(no_number, np.float32(0), sound))
        if loudness.max() > loudest:
            times = float(loudness.max()) / reference
            yield estimate.doubt("too_loud", times, "times the mix's peak", stem=stem, span=_span(loudness > loudest))


def _dead(estimate: Estimate, limits: Limits) -> Iterator[Doubt]:
    """Stems that do not move where the mix does: exactly, for what is merely quiet always moves."""
    block = max(1, round(limits.still_seconds * estimate.sample_rate))
    moving = ~_still(estimate.mix, block)
    for stem, sound in estimate.by_stem:
        dead = _still(sound, block) & moving
        if dead.any():
            first, stop = _span(dead)
            seconds = to_seconds(int(dead.any(axis=0).sum()) * block, estimate.sample_rate)
            yield estimate.doubt("dead", seconds, "s", stem=stem, span=(first * block, stop * block))


def _sum(estimate: Estimate, limits: Limits) -> Iterator[Doubt]:
    if len(estimate.stems) > 1:
        missing = _decibels(estimate.sound.sum(axis=0) - estimate.mix, estimate.mix, limits)
        if missing >= limits.sum_db:
            yield estimate.doubt("sum", missing, "dB of the mix", span=(0, estimate.window.frames))


def _disagreement(estimate: Estimate, limits: Limits) -> Iterator[Doubt]:
    """What the window before says otherwise of the frames that both have seen."""
    if estimate.foretold is None:
        return
    shared = min(estimate.foretold.shape[-1], estimate.window.frames)
    for (stem, sound), foretold in zip(estimate.by_stem, estimate.foretold, strict=True):
        apart = _decibels(sound[:, :shared] - foretold[:, :shared], estimate.mix[:, :shared], limits)
        if apart >= limits.seam_db:
            kind: Kind = "conflict" if apart >= limits.conflict_db else "seam"
            yield estimate.doubt(kind, apart, "dB of the mix", stem=stem, span=(0, shared))


def _still(sound: Array, block: int) -> npt.NDArray[np.bool_]:
    """Which whole blocks of `block` frames hold one value only, `[channels, frames // block]`."""
    frames = sound.shape[-1] // block * block
    blocks = sound[:, :frames].reshape(sound.shape[0], -1, block)
    still: npt.NDArray[np.bool_] = blocks.max(axis=-1) == blocks.min(axis=-1)
    return still


def _span(found: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """The first and one past the last place along the last axis where something was found, in any channel."""
    places = np.flatnonzero(found.any(axis=0))
    return int(places[0]), int(places[-1]) + 1


def _decibels(difference: Array, mix: Array, limits: Limits) -> float:
    """The energy of a difference against that of the mix; the whole film's is 0 dB to the model."""
    floor = 10 ** (limits.floor_db / 10)
    ratio = _energy(difference) / max(_energy(mix), floor)
    return 10 * math.log10(max(ratio, 1e-30))


def _energy(sound: Array) -> float:
    """Mean square; summed in an order that does not depend on the machine's threads."""
    return float(np.square(sound).sum(dtype=np.float64)) / max(sound.size, 1)
