"""A transcript in, its translation into English out: Whisper's own, of what the transcript has."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cached_property
from typing import ClassVar, TypeVar

import msgspec

from stemscribe.jobs.job import Options
from stemscribe.pipeline.resources import keeping_memory
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.pipeline.stages.levels import CENTRE, NEEDED
from stemscribe.pipeline.stages.sounds import Sounds
from stemscribe.pipeline.stages.speech_detection import Regions
from stemscribe.records import Lines, read_record
from stemscribe.rows import read_head, read_rows, write_rows
from stemscribe.speech.faster_whisper import FasterWhisper, Listening
from stemscribe.speech.recognition import Dropped, Recognition
from stemscribe.speech.sound import SAMPLE_RATE
from stemscribe.speech.translation import ENGLISH, Said, Translated, Translation, TranslationRules, translate
from stemscribe.timebase import to_frames
from stemscribe.transcript import Region, Segment
from stemscribe.wording import counted

log = logging.getLogger(__name__)

Row = TypeVar("Row", Segment, Dropped)


class Translate:
    """Translates into English what the transcript has, region by region; each is safe as soon as it is translated."""

    name = "translation"
    version = 3
    depends_on = ("model", "device", "threads")
    parameters: ClassVar[dict[str, object]] = {"beam_size": Listening.beam_size, **asdict(TranslationRules())}
    inputs = (*NEEDED, CENTRE, "regions", "segments")

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        return {"core": ("faster-whisper", "ctranslate2", "tokenizers", "soxr")}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (Artefact("translation", "translation.json"),)

    def models(self, options: Options) -> tuple[str, ...]:
        return (options.model,)

    def run(self, context: StageContext) -> None:
        found = read_record(context.inputs["regions"], Regions)
        language = read_head(context.inputs["segments"], Recognition).language
        heading = json.dumps({"regions": len(found.regions)}).encode()
        with keeping_memory(), ExitStack() as opened, Lines(context.scratch / "regions.jsonl", heading) as lines:
            translator = _Translator(context, opened, language)
            _translate_all(context, translator, found, lines)
            write_rows(
                context.outputs["translation"],
                Translation(ENGLISH, language, context.options.model, (), ()),
                segments=(segment for translated in _translated(lines) for segment in translated.segments),
                untranslated=(lost for translated in _translated(lines) for lost in translated.untranslated),
            )
            _tell(lines)


def _tell(lines: Lines) -> None:
    segments = words = doubtful = lost = 0
    for translated in _translated(lines):
        segments += len(translated.segments)
        words += sum(len(segment.text.split()) for segment in translated.segments)
        doubtful += sum(bool(segment.doubts) for segment in translated.segments)
        lost += len(translated.untranslated)
    said = f"{counted(words, 'word')} in {counted(segments, 'segment')}"
    log.info("%s in English (%d doubtful)", said, doubtful)
    if lost:
        log.warning(
            "without a translation: %s of the transcript; translation.json lists them", counted(lost, "segment")
        )


class _Translator:
    """Whisper over what was said in the regions of a job."""

    def __init__(self, context: StageContext, opened: ExitStack, language: str) -> None:
        self._context, self._sounds, self._language = context, Sounds(context, opened), language

    @cached_property
    def model(self) -> FasterWhisper:
        # Loaded when it is first needed: what was said in English alone needs none.
        options = self._context.options
        return FasterWhisper(self._context.models[options.model], device=options.device, threads=options.threads)

    @property
    def is_to_be_tried(self) -> bool:
        """Whether this is a rehearsal of a film in which more than English may be spoken."""
        return self._context.rehearsal and self._context.job.source_language != ENGLISH

    def translated(self, number: int, region: Region, speech: Sequence[Region], said: Said) -> Translated:
        """What was said in a region, in English."""
        sound = self._sounds.of(region)
        if self.is_to_be_tried and not said.segments:  # in so little of a film the transcript may have no words
            self.model.hear(sound.vocals, Listening(self._language, "vocals", task="translate"))

        def ear(span: Region, listening: Listening) -> list[Segment]:
            first, last = (to_frames(time - region.start, SAMPLE_RATE) for time in (span.start, span.end))
            samples = sound.heard_as(listening.audio)[first:last]
            found = self.model.hear(samples, listening) if len(samples) else []
            return [segment.moved(span.start) for segment in found]

        return translate(number, region, sound, speech, said, ear)


def _translated(lines: Lines) -> Iterator[Translated]:
    """What came of each region so far, read anew: a film of ten hours has a hundred thousand words."""
    decoder = msgspec.json.Decoder(Translated)
    return (decoder.decode(lines.entries[index]) for index in range(len(lines.entries)))


def _translate_all(context: StageContext, translator: _Translator, found: Regions, lines: Lines) -> None:
    """Translate every region that was not translated before, and keep each as soon as it is."""
    before, total = len(lines.entries), len(found.regions)
    if before:
        log.info("%d of %d regions were already translated", before, total)
    if translator.is_to_be_tried:
        _ = translator.model  # loaded before the first report, so that reports tell the speed
    for number, said in enumerate(_said(context, found.regions)):
        if number < before:
            continue
        region = found.regions[number]
        context.progress(Progress(number, total, "regions", region.start))
        lines.append(msgspec.json.encode(translator.translated(number, region, found.speech, said)))
    context.progress(Progress(total, total, "regions", found.regions[-1].end if total else 0.0))


def _said(context: StageContext, regions: Sequence[Region]) -> Iterator[Said]:
    """What the transcript has of each region; its rows are read one by one, and are in the order of the regions."""
    path = context.inputs["segments"]
    segments = _shared_out(regions, ((row.start, row.end, row) for row in read_rows(path, "segments", Segment)))
    dropped = _shared_out(
        regions, ((row.segment.start, row.segment.end, row) for row in read_rows(path, "dropped", Dropped))
    )
    return (Said(believed, doubted) for believed, doubted in zip(segments, dropped, strict=True))


def _shared_out(regions: Sequence[Region], rows: Iterator[tuple[float, float, Row]]) -> Iterator[tuple[Row, ...]]:
    """Rows by the region in which their middle is."""
    row = next(rows, None)
    for number, region in enumerate(regions):
        own: list[Row] = []
        while row is not None and ((row[0] + row[1]) / 2 <= region.end or number == len(regions) - 1):
            own.append(row[2])
            row = next(rows, None)
        yield tuple(own)
