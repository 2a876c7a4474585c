"""Stems in, regions out: where speech recognition should listen."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stemscribe.audio.resample import Array
from stemscribe.audio.source import AudioSource
from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.records import write_record
from stemscribe.speech.activity import SAMPLE_RATE, SpeechDetector, detect
from stemscribe.speech.regions import find_regions, find_speech
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
    inputs = ("mix", "vocals")

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (Artefact("regions", "regions.json"),)

    def models(self, options: Options) -> tuple[str, ...]:
        return (MODEL,)

    def run(self, context: StageContext) -> None:
        detector = SpeechDetector(context.models[MODEL])
        with AudioSource(context.inputs["mix"]) as mix:
            total = 2 * mix.frames / mix.sample_rate
        heard = _Counter(context, total)
        activity = detect(detector, heard.blocks(context.inputs["mix"]), heard.blocks(context.inputs["vocals"]))
        found = Regions(find_regions(activity), find_speech(activity))
        log.info(
            "voices in %.1f s of %.1f s, in %d regions; speech is certain in %.1f s",
            total_duration(found.regions),
            total / 2,
            len(found.regions),
            total_duration(found.speech),
        )
        write_record(context.outputs["regions"], found)


class _Counter:
    """Reports how much of the mix and the vocals has been heard."""

    def __init__(self, context: StageContext, total: float) -> None:
        self._context, self._total, self._done = context, total, 0.0

    def blocks(self, path: Path) -> Iterator[Array]:
        with AudioSource(path) as source:
            for block in source.mono_blocks(SAMPLE_RATE):
                yield block
                self._done += block.shape[-1] / SAMPLE_RATE
                done = min(self._done, self._total)
                self._context.progress(Progress(done, self._total, "s", done / 2))
