"""Regions in, words out."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import msgspec
import numpy as np

from stemscribe.arrays import Array
from stemscribe.audio.source import AudioSource
from stemscribe.jobs.job import Options
from stemscribe.languages import AUTO
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.pipeline.stages.levels import NEEDED, open_at_film_level
from stemscribe.pipeline.stages.speech_detection import Regions
from stemscribe.records import Lines, read_record
from stemscribe.rows import write_rows
from stemscribe.speech.faster_whisper import SAMPLE_RATE, FasterWhisper, Hearing
from stemscribe.speech.recognition import DOUBTFUL_LOG_PROBABILITY, Heard, Recognition, find_language, judge
from stemscribe.timebase import to_frames
from stemscribe.transcript import Region

log = logging.getLogger(__name__)


class Asr:
    """Recognises speech region by region with Whisper; each region is safe as soon as it is heard."""

    name = "asr"
    version = 1
    depends_on = ("source_language", "model", "asr_audio", "device", "threads")
    parameters: ClassVar[dict[str, object]] = {"beam_size": Hearing.beam_size, "doubtful": DOUBTFUL_LOG_PROBABILITY}
    inputs = (*NEEDED, "regions")

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        return {"core": ("faster-whisper", "ctranslate2", "tokenizers", "soxr")}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (Artefact("segments", "segments.json"),)

    def models(self, options: Options) -> tuple[str, ...]:
        return (options.model,)

    def run(self, context: StageContext) -> None:
        found = read_record(context.inputs["regions"], Regions)
        heading = json.dumps({"regions": len(found.regions)}).encode()
        with (
            open_at_film_level(context, context.options.asr_audio) as source,
            Lines(context.scratch / "regions.jsonl", heading) as lines,
        ):
            recogniser = _Recogniser(context, source)
            spoken = _language(context, recogniser, found, lines)
            _hear_all(context, recogniser, found, spoken.code, lines)
            write_rows(
                context.outputs["segments"],
                Recognition(spoken.code, spoken.probability, context.options.model, (), ()),
                segments=(segment for heard in _heard(lines) for segment in heard.segments),
                dropped=(dropped for heard in _heard(lines) for dropped in heard.dropped),
            )
            _tell(lines)


def _tell(lines: Lines) -> None:
    words = segments = dropped = 0
    for heard in _heard(lines):
        words += sum(len(segment.text.split()) for segment in heard.segments)
        segments += len(heard.segments)
        dropped += len(heard.dropped)
    log.info("%d words in %d segments, %d dropped", words, segments, dropped)


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


@dataclass(frozen=True)
class _Spoken:
    """The language of a film; the probability is `None` where it was given."""

    code: str
    probability: float | None


def _language(context: StageContext, recogniser: _Recogniser, found: Regions, lines: Lines) -> _Spoken:
    """The language as it was given, or as it was found; once found it is kept, so that a resumed run cannot waver."""
    asked = context.job.source_language
    if asked != AUTO:
        spoken = _Spoken(asked, None)
    elif lines.entries:
        spoken = msgspec.json.decode(lines.entries[0], type=_Spoken)
    else:
        code, probability = find_language(
            found.regions, found.speech, lambda region: recogniser.model.language_of(recogniser.audio(region))
        )
        spoken = _Spoken(code, probability)
        log.info("the language is %s (probability %.2f)", code, probability)
    if not lines.entries:
        lines.append(msgspec.json.encode(spoken))
    return spoken


def _heard(lines: Lines) -> Iterator[Heard]:
    """What came of each region so far, read anew: a film of ten hours has a hundred thousand words."""
    decoder = msgspec.json.Decoder(Heard)
    return (decoder.decode(lines.entries[index]) for index in range(1, len(lines.entries)))


def _hear_all(context: StageContext, recogniser: _Recogniser, found: Regions, language: str, lines: Lines) -> None:
    """Hear every region that was not heard before, and keep each as soon as it is."""
    hearing = Hearing(language, context.options.asr_audio)
    before = len(lines.entries) - 1  # the first entry is the language
    if before:
        log.info("%d of %d regions were already heard", before, len(found.regions))
    if before < len(found.regions):
        _ = recogniser.model  # loaded before the first report, so that reports tell the speed
    for index in range(before, len(found.regions)):
        region = found.regions[index]
        context.progress(Progress(index, len(found.regions), "regions", region.start))
        segments = recogniser.model.hear(recogniser.audio(region), hearing)
        heard = judge(index, (segment.moved(region.start) for segment in segments), found.speech)
        lines.append(msgspec.json.encode(heard))
    film = found.regions[-1].end if found.regions else 0.0
    context.progress(Progress(len(found.regions), len(found.regions), "regions", film))
