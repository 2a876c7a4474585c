"""Film in, mix out, and the centre channel where there is one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import ClassVar

from stemscribe.audio.downmix import has_centre
from stemscribe.audio.mix import MixInfo, write_mix
from stemscribe.audio.probe import probe
from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.records import write_record
from stemscribe.timebase import Seconds, clock, to_seconds

log = logging.getLogger(__name__)

_SHORTFALL: Seconds = 1.0
MIX_RATE = 44100  # what the separation models were trained on


class Demux:
    """Decodes the right audio track of the film, once, for all later stages."""

    name = "demux"
    version = 3
    depends_on = ("audio_track", "start_time", "end_time")
    parameters: ClassVar[dict[str, object]] = {"rate": MIX_RATE}
    inputs = ()

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        return {"core": ("av", "soxr", "soundfile")}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (
            Artefact("mix", "mix.flac", "Audio extracted"),
            Artefact("mix_info", "mix.json"),
            Artefact("centre", "centre.flac", "Centre channel extracted", optional=True),
        )

    def models(self, options: Options) -> tuple[str, ...]:
        return ()

    def run(self, context: StageContext) -> None:
        options = context.options
        film = probe(Path(context.job.media), until=options.end_time)
        track = film.track(options.audio_track, context.job.source_language)
        if len(film.tracks) > 1:
            log.info("audio track %s (of %d)", track, len(film.tracks))
        end = options.end_time if options.end_time is not None else film.duration
        info = write_mix(
            film.path,
            track,
            context.outputs["mix"],
            MIX_RATE,
            start=options.start_time,
            end=options.end_time,
            centre=context.outputs["centre"] if has_centre(track.layout) else None,
            progress=lambda done: context.progress(
                Progress(done, max(0.0, (end or 0.0) - options.start_time), "s", done)
            ),
        )
        _warn_if_short(info, end)
        write_record(context.outputs["mix_info"], info)


def _warn_if_short(info: MixInfo, end: Seconds | None) -> None:
    """Say when there is less sound than the film's header promises: its end may be missing."""
    heard = info.offset + to_seconds(info.frames, info.sample_rate)
    if end is not None and heard < end - max(_SHORTFALL, 0.01 * end):
        log.warning("the film promises to last until %s, but its sound ends at %s", clock(end), clock(heard))
