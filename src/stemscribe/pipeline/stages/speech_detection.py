"""Stems in, regions out: where speech recognition should listen."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar

from stemscribe.arrays import Array
from stemscribe.audio.source import AudioSource
from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.pipeline.stages.levels import NEEDED, open_at_film_level
from stemscribe.records import write_record
from stemscribe.speech.activity import SAMPLE_RATE, SpeechDetector, detect
from stemscribe.speech.regions import RegionRules, find_regions, find_speech
from stemscribe.timebase import Seconds, to_seconds
from stemscribe.transcript import Region, total_duration

log = logging.getLogger(__name__)

MODEL = "silero-vad"


@dataclass(frozen=True)
class Regions:
    """`regions.json`, in seconds of the mix: where to listen, and where within that the detector is sure of speech."""

    regions: tuple[Region, ...]
    speech: tuple[Region, ...]
    version: int = 1


class SpeechDetection:
    """Finds voices from the energy of the vocals and from a speech detector on the mix and the vocals."""

    name = "speech_detection"
    version = 2
    depends_on = ()
    parameters: ClassVar[dict[str, object]] = asdict(RegionRules())
    inputs = NEEDED

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        return {"core": ("numpy", "onnxruntime", "soxr")}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (Artefact("regions", "regions.json"),)

    def models(self, options: Options) -> tuple[str, ...]:
        return (MODEL,)

    def run(self, context: StageContext) -> None:
        detector = SpeechDetector(context.models[MODEL])
        with open_at_film_level(context, "mix") as mix, open_at_film_level(context, "vocals") as vocals:
            total = to_seconds(mix.frames, mix.sample_rate)
            blocks = _counted(context, mix, 0.0, total), _counted(context, vocals, total, total)
            activity = detect(detector, *blocks, context.scratch)
        found = Regions(find_regions(activity), find_speech(activity))
        if context.rehearsal and not found.regions:
            found = Regions((Region(0.0, total),), ())  # or speech recognition would have nothing to do
        log.info(
            "voices in %.1f s of %.1f s, in %d regions; speech is certain in %.1f s",
            total_duration(found.regions),
            total,
            len(found.regions),
            total_duration(found.speech),
        )
        write_record(context.outputs["regions"], found)


def _counted(context: StageContext, source: AudioSource, before: Seconds, total: Seconds) -> Iterator[Array]:
    """A file's mono blocks at 16 kHz; tells how much of both files has been heard, `before` being that of the other."""
    heard = 0.0
    for block in source.mono_blocks(SAMPLE_RATE):
        yield block
        heard += to_seconds(block.shape[-1], SAMPLE_RATE)
        done = min(before + heard, 2 * total)
        context.progress(Progress(done, 2 * total, "s", done / 2))
