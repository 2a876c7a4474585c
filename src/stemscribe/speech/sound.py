"""A region as it can be heard: as it is in the film, as separation left it, and in between.

Separation leaves artefacts, and what masks them helps a recogniser more than it harms (Iwamoto et al. 2022, How bad
are artifacts?, arXiv 2201.06685, "observation adding"): so vocals with a little of the mix left in are one more way
to hear a region, and where a film has a centre channel, that is another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from stemscribe.arrays import Array
from stemscribe.speech.activity import level_db
from stemscribe.timebase import Seconds
from stemscribe.transcript import Audio

SAMPLE_RATE = 16000
_MIX_LEFT_IN: dict[Audio, float] = {"vocals": 0.0, "blend-10": 0.1, "blend-20": 0.2, "blend-35": 0.35}
HOP_FRAMES = 160
HOP: Seconds = HOP_FRAMES / SAMPLE_RATE
_SILENT_DB = -60.0
_USUAL = 90.0  # percentile of the level of a region's vocals that counts as their usual one
_BELOW_USUAL_DB = 25.0
_BELOW_MIX_DB = 25.0  # what separation leaves behind of music alone is this far below it, or nearly


@dataclass(frozen=True)
class Sound:
    """One region, mono at 16 kHz, `[frames]` each.

    Attributes:
        start: where it begins, in seconds of the mix.
        mix: as it is in the film.
        vocals: as separation left it.
        centre: the film's centre channel; `None` where it has none.
    """

    start: Seconds
    mix: Array
    vocals: Array
    centre: Array | None = None

    def heard_as(self, audio: Audio) -> Array:
        """The samples to listen to, `[frames]`."""
        if audio == "mix":
            return self.mix
        if audio == "centre":
            assert self.centre is not None
            return self.centre
        blend: Array = self.vocals + np.float32(_MIX_LEFT_IN[audio]) * self.mix
        return blend

    @cached_property
    def voices_over_music_db(self) -> float:
        """How far the vocals are above everything else, over the whole region."""
        rest = _power(self.mix - self.vocals)
        return float(10 * np.log10(max(_power(self.vocals), 1e-10) / max(rest, 1e-10)))

    def voiced_share(self, start: Seconds, end: Seconds) -> float:
        """The share of a span, in seconds of the mix, in which the vocals are not silent."""
        voiced = self._voiced[self._hop(start) : self._hop(end) + 1]
        return float(np.mean(voiced)) if len(voiced) else 0.0

    def voiced_within(self, start: Seconds, end: Seconds) -> tuple[Seconds, Seconds]:
        """A span without the silence at its ends; as it is where all of it is silent."""
        first = self._hop(start)
        voiced = np.flatnonzero(self._voiced[first : self._hop(end) + 1])
        if not len(voiced):
            return start, end
        opened, closed = first + int(voiced[0]), first + int(voiced[-1]) + 1
        return max(start, self.start + opened * HOP), min(end, self.start + closed * HOP)

    def voiced_but_for(self, rest: Seconds) -> Seconds:
        """Until when the vocals are there, but for the last so many seconds of them; the beginning if there are no
        more.
        """
        voiced, left_out = np.flatnonzero(self._voiced), round(rest / HOP)
        return self.start + (int(voiced[-left_out - 1]) + 1) * HOP if len(voiced) > left_out else self.start

    def voiced_until(self, time: Seconds, limit: Seconds) -> Seconds:
        """Until when the vocals that are there at a moment go on, `limit` at the latest; that moment if there are
        none.
        """
        first = self._hop(time)
        silent = np.flatnonzero(~self._voiced[first : self._hop(limit) + 1])
        stop = self.start + (first + int(silent[0])) * HOP if len(silent) else limit
        return min(max(time, stop), limit)

    def _hop(self, time: Seconds) -> int:
        return min(max(0, int((time - self.start) / HOP)), max(0, len(self._voiced) - 1))

    @cached_property
    def _voiced(self) -> npt.NDArray[np.bool_]:
        """Whether the vocals are there, `[hops]` of 10 ms: against their own usual level, and against the mix."""
        vocals, mix = _levels(self.vocals), _levels(self.mix)
        usual = float(np.percentile(vocals, _USUAL)) if len(vocals) else 0.0
        quietest = max(_SILENT_DB, usual - _BELOW_USUAL_DB)
        voiced: npt.NDArray[np.bool_] = (vocals > quietest) & (vocals > mix - _BELOW_MIX_DB)
        return voiced


def _levels(samples: Array) -> Array:
    whole = len(samples) // HOP_FRAMES * HOP_FRAMES
    return level_db(samples[:whole].reshape(-1, HOP_FRAMES))


def _power(samples: Array) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
