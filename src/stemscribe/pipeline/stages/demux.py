"""Film in, mix out."""

from __future__ import annotations

from pathlib import Path

from stemscribe.audio.mix import write_mix
from stemscribe.audio.probe import probe
from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.records import write_record

MIX_RATE = 44100  # what the separation models were trained on


class Demux:
    """Decodes the right audio track of the film, once, for all later stages."""

    name = "demux"
    version = 1
    packages = ("av", "soxr", "soundfile")
    depends_on = ("source_language", "audio_track", "start_time", "end_time")
    inputs = ()

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (Artefact("mix", "mix.flac", "Audio extracted"), Artefact("mix_info", "mix.json"))

    def models(self, options: Options) -> tuple[str, ...]:
        return ()

    def run(self, context: StageContext) -> None:
        options = context.options
        film = probe(Path(context.job.media), until=options.end_time)
        track = film.track(options.audio_track, context.job.source_language)
        end = options.end_time if options.end_time is not None else film.duration
        info = write_mix(
            film.path,
            track,
            context.outputs["mix"],
            MIX_RATE,
            start=options.start_time,
            end=options.end_time,
            progress=lambda done: context.progress(
                Progress(done, max(0.0, (end or 0.0) - options.start_time), "s", done)
            ),
        )
        write_record(context.outputs["mix_info"], info)
