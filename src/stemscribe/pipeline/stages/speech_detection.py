"""Stems in, regions out: where speech recognition should listen."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar

from stemscribe.arrays import Array
from stemscribe.audio.mix import MixInfo
from stemscribe.audio.source import AudioSource
from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.records import read_record, write_record
from stemscribe.separation.finish import VOCALS
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
    version = 1
    packages = ("numpy", "onnxruntime", "soxr")
    depends_on = ()
    parameters: ClassVar[dict[str, object]] = asdict(RegionRules())
    inputs = ("mix", "mix_info", "vocals", "separation")

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (Artefact("regions", "regions.json"),)

    def models(self, options: Options) -> tuple[str, ...]:
        return (MODEL,)

    def run(self, context: StageContext) -> None:
        info = read_record(context.inputs["mix_info"], MixInfo)
        vocals_gain = read_record(context.inputs["separation"], SeparationRecord).stems[VOCALS]["gain"]
        total = to_seconds(info.frames, info.sample_rate)
        detector = SpeechDetector(context.models[MODEL])
        with (
            AudioSource(context.inputs["mix"], gain=info.gain) as mix,
            AudioSource(context.inputs["vocals"], gain=vocals_gain) as vocals,
        ):
            activity = detect(detector, _counted(context, mix, 0.0, total), _counted(context, vocals, total, total))
        found = Regions(find_regions(activity), find_speech(activity))
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
