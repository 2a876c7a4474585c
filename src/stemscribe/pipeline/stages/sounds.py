"""The regions of a job as a recogniser hears them: every audio that there is, mono, at its sample rate."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from stemscribe.arrays import Array
from stemscribe.audio.source import Source
from stemscribe.pipeline.stage import StageContext
from stemscribe.pipeline.stages.levels import CENTRE, is_centre_audible, open_at_film_level
from stemscribe.speech.sound import SAMPLE_RATE, Sound
from stemscribe.timebase import to_frames
from stemscribe.transcript import Region


class Sounds:
    """The mix, the vocals and the centre of a job, region by region.

    Args:
        context: of a stage that has the mix, the vocals and the centre among its inputs.
        opened: closes the files in the end.
        vocals: where there is no file of them yet, what takes its place.
    """

    def __init__(self, context: StageContext, opened: ExitStack, vocals: Source | None = None) -> None:
        self._mix: Source = opened.enter_context(open_at_film_level(context, "mix"))
        self._vocals = vocals or opened.enter_context(open_at_film_level(context, "vocals"))
        audible = is_centre_audible(context)
        self._centre: Source | None = opened.enter_context(open_at_film_level(context, CENTRE)) if audible else None

    def of(self, region: Region) -> Sound:
        """A region as it can be heard."""
        centre = _mono(self._centre, region) if self._centre is not None else None
        return Sound(region.start, _mono(self._mix, region), _mono(self._vocals, region), centre)


def _mono(source: Source, region: Region) -> Array:
    """A region of a file as mono sound at 16 kHz, `[frames]`."""
    rate = source.sample_rate
    mono = source.read_mono(to_frames(region.start, rate), to_frames(region.end, rate), SAMPLE_RATE)
    return np.asarray(mono[0], np.float32)
