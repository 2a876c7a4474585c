"""Stems in, regions out: where speech recognition should listen."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import ClassVar

from stemscribe.arrays import Array
from stemscribe.audio.source import AudioSource
from stemscribe.concurrency import made_ahead
from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.pipeline.stages.levels import CENTRE, NEEDED, Audible, is_centre_audible, open_at_film_level
from stemscribe.records import write_record
from stemscribe.speech.activity import SAMPLE_RATE, SpeechDetector, detect
from stemscribe.speech.regions import RegionRules, Voiced, find_regions, find_speech, find_voices
from stemscribe.timebase import to_seconds
from stemscribe.transcript import Region, total_duration
from stemscribe.wording import counted

log = logging.getLogger(__name__)

MODEL = "silero-vad"


@dataclass(frozen=True)
class Regions:
    """`regions.json`, in seconds of the mix.

    Attributes:
        regions: where to listen.
        speech: where within that the detector is sure of speech.
        voiced: the vocal activity itself, every second of which the transcript has to account for.
    """

    regions: tuple[Region, ...]
    speech: tuple[Region, ...]
    voiced: tuple[Voiced, ...] = ()
    version: int = 2


class SpeechDetection:
    """Finds voices from the energy of the vocals and from a speech detector on the mix, the vocals and the centre."""

    name = "speech_detection"
    version = 4
    depends_on = ()
    parameters: ClassVar[dict[str, object]] = asdict(RegionRules())
    inputs = (*NEEDED, CENTRE)

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        return {"core": ("numpy", "onnxruntime", "soxr")}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (Artefact("regions", "regions.json"),)

    def models(self, options: Options) -> tuple[str, ...]:
        return (MODEL,)

    def run(self, context: StageContext) -> None:
        detector = SpeechDetector(context.models[MODEL])
        heard: list[Audible] = ["mix", "vocals"]
        if is_centre_audible(context):
            heard.append(CENTRE)
        with ExitStack() as files:
            sources = [files.enter_context(open_at_film_level(context, audio)) for audio in heard]
            total = to_seconds(sources[0].frames, sources[0].sample_rate)
            mix, vocals, *centre = (
                _counted(context, source, number, len(sources)) for number, source in enumerate(sources)
            )
            activity = detect(detector, mix, vocals, context.scratch, *centre)
        found = Regions(find_regions(activity), find_speech(activity), tuple(find_voices(activity)))
        if context.rehearsal and not found.regions:
            # Or speech recognition would have nothing to do, and the ledger nothing to account for.
            found = Regions((Region(0.0, total),), (), (Voiced(0.0, total),))
        log.info(
            "voices in %.1f s of %.1f s, in %s; speech is certain in %.1f s",
            total_duration(found.regions),
            total,
            counted(len(found.regions), "region"),
            total_duration(found.speech),
        )
        write_record(context.outputs["regions"], found)


def _counted(context: StageContext, source: AudioSource, number: int, of: int) -> Iterator[Array]:
    """A file's mono blocks at 16 kHz; tells how far all files have been heard, of which `number` come before it."""
    film, heard = to_seconds(source.frames, source.sample_rate), 0.0
    for block in made_ahead(source.mono_blocks(SAMPLE_RATE)):
        yield block
        heard += to_seconds(block.shape[-1], SAMPLE_RATE)
        done = min(number * film + heard, of * film)
        context.progress(Progress(done, of * film, "s", done / of))
