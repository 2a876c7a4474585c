"""Regions in, words out."""

from __future__ import annotations

import json
import logging
from functools import cached_property

import msgspec
import numpy as np

from stemscribe.audio.resample import Array
from stemscribe.audio.source import AudioSource
from stemscribe.jobs.job import Options
from stemscribe.languages import AUTO
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.pipeline.stages.speech_detection import Regions
from stemscribe.records import Lines, read_record, write_record
from stemscribe.speech.faster_whisper import SAMPLE_RATE, FasterWhisper, Hearing
from stemscribe.speech.recognition import Heard, Recognition, find_language, judge
from stemscribe.timebase import to_frames
from stemscribe.transcript import Region

log = logging.getLogger(__name__)


class Asr:
    """Recognises speech region by region with Whisper; each region is safe as soon as it is heard."""

    name = "asr"
    version = 1
    packages = ("faster-whisper", "ctranslate2", "tokenizers", "soxr")
    depends_on = ("source_language", "model", "asr_audio", "device", "threads")
    inputs = ("mix", "vocals", "regions")

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (Artefact("segments", "segments.json"),)

    def models(self, options: Options) -> tuple[str, ...]:
        return (options.model,)

    def run(self, context: StageContext) -> None:
        found = read_record(context.inputs["regions"], Regions)
        with AudioSource(context.inputs[context.options.asr_audio]) as source:
            recogniser = _Recogniser(context, source)
            language, probability = _language(context, recogniser, found)
            heard = _hear_all(context, recogniser, found, language)
        recognition = Recognition(
            language=language,
            language_probability=probability,
            model=context.options.model,
            segments=tuple(segment for region in heard for segment in region.segments),
            dropped=tuple(dropped for region in heard for dropped in region.dropped),
        )
        words = sum(len(segment.text.split()) for segment in recognition.segments)
        log.info("%d words in %d segments, %d dropped", words, len(recognition.segments), len(recognition.dropped))
        write_record(context.outputs["segments"], recognition)


class _Recogniser:
    """Whisper over spans of one file."""

    def __init__(self, context: StageContext, source: AudioSource) -> None:
        self._context, self._source = context, source

    @cached_property
    def model(self) -> FasterWhisper:
        # Loaded when it is first needed: a resumed job may have heard everything already.
        options = self._context.options
        return FasterWhisper(self._context.models[options.model], device=options.device, threads=options.threads)

    def audio(self, region: Region) -> Array:
        """A region as mono sound at 16 kHz, `[frames]`."""
        rate = self._source.sample_rate
        mono = self._source.read_mono(to_frames(region.start, rate), to_frames(region.end, rate), SAMPLE_RATE)
        return np.asarray(mono[0], np.float32)


def _language(context: StageContext, recogniser: _Recogniser, found: Regions) -> tuple[str, float | None]:
    asked = context.job.source_language
    if asked != AUTO:
        return asked, None
    language, probability = find_language(
        found.regions, found.speech, lambda region: recogniser.model.language_of(recogniser.audio(region))
    )
    log.info("the language is %s (probability %.2f)", language, probability)
    return language, probability


def _hear_all(context: StageContext, recogniser: _Recogniser, found: Regions, language: str) -> list[Heard]:
    """Hear every region that was not heard before, and keep each as soon as it is."""
    hearing = Hearing(language, context.options.asr_audio)
    heading = json.dumps({"regions": len(found.regions), "language": language}).encode()
    with Lines(context.scratch / "regions.jsonl", heading) as lines:
        heard = [msgspec.json.decode(entry, type=Heard) for entry in lines.entries]
        if heard:
            log.info("%d of %d regions were already heard", len(heard), len(found.regions))
        for index in range(len(heard), len(found.regions)):
            region = found.regions[index]
            context.progress(Progress(index, len(found.regions), "regions", region.start))
            segments = recogniser.model.hear(recogniser.audio(region), hearing)
            heard.append(judge(index, (segment.moved(region.start) for segment in segments), found.speech))
            lines.append(msgspec.json.encode(heard[-1]))
    film = found.regions[-1].end if found.regions else 0.0
    context.progress(Progress(len(found.regions), len(found.regions), "regions", film))
    return heard
