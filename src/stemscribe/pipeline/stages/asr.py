"""Regions in, words out."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import ClassVar

import msgspec

from stemscribe.jobs.job import Options
from stemscribe.languages import AUTO
from stemscribe.pipeline.resources import keeping_memory
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.pipeline.stages.levels import CENTRE, NEEDED
from stemscribe.pipeline.stages.sounds import Sounds
from stemscribe.pipeline.stages.speech_detection import Regions
from stemscribe.records import Lines, read_record
from stemscribe.rows import write_rows
from stemscribe.speech.ahead import Hearings, found_in, key_of
from stemscribe.speech.doubts import phrases_digest
from stemscribe.speech.faster_whisper import FasterWhisper, Listening
from stemscribe.speech.listening import HURRIED, ListeningRules, Wanted, listen
from stemscribe.speech.recognition import (
    NOT_THE_FILMS,
    SURE_OF_LANGUAGE,
    Heard,
    Recognition,
    find_language,
    language_here,
    overlap,
)
from stemscribe.speech.scripts import scripts_for
from stemscribe.speech.sound import Sound
from stemscribe.timebase import Seconds
from stemscribe.transcript import Region, Segment
from stemscribe.wording import counted

log = logging.getLogger(__name__)

ENOUGH_SPEECH: Seconds = 2.0  # certain speech in a region, to tell its language by


class Asr:
    """Recognises speech region by region with Whisper; each region is safe as soon as it is heard."""

    name = "asr"
    version = 5
    depends_on = ("source_language", "model", "asr_audio", "script", "device", "threads")
    parameters: ClassVar[dict[str, object]] = {
        "beam_size": Listening.beam_size,
        "language": [SURE_OF_LANGUAGE, NOT_THE_FILMS, ENOUGH_SPEECH],
        "phrases": phrases_digest(),
        **asdict(ListeningRules()),
    }
    inputs = (*NEEDED, CENTRE, "regions")

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        return {"core": ("faster-whisper", "ctranslate2", "tokenizers", "soxr", "rapidfuzz", "langcodes")}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (Artefact("segments", "segments.json"),)

    def models(self, options: Options) -> tuple[str, ...]:
        return (options.model,)

    def run(self, context: StageContext) -> None:
        found = read_record(context.inputs["regions"], Regions)
        heading = json.dumps({"regions": len(found.regions)}).encode()
        with keeping_memory(), ExitStack() as opened, Lines(context.scratch / "regions.jsonl", heading) as lines:
            recogniser = Recogniser(context, opened, Sounds(context, opened), found_in(context.ahead))
            spoken = _language(context, recogniser, found, lines)
            _hear_all(context, recogniser, found, spoken.code, lines)
            write_rows(
                context.outputs["segments"],
                Recognition(spoken.code, spoken.probability, context.options.model, (), ()),
                segments=(segment for heard in _heard(lines) for segment in heard.segments),
                dropped=(dropped for heard in _heard(lines) for dropped in heard.dropped),
                hearings=(hearing for heard in _heard(lines) for hearing in heard.hearings),
            )
            _tell(lines)
            if recogniser.found_ahead:
                log.info("%s had been heard while the film was separated", counted(recogniser.found_ahead, "region"))


def _tell(lines: Lines) -> None:
    words = segments = dropped = doubtful = hearings = regions = 0
    for heard in _heard(lines):
        words += sum(len(segment.text.split()) for segment in heard.segments)
        segments += len(heard.segments)
        doubtful += sum(bool(segment.doubts) for segment in heard.segments)
        dropped += len(heard.dropped)
        hearings += len(heard.hearings)
        regions += 1
    said = f"{counted(words, 'word')} in {counted(segments, 'segment')}"
    log.info("%s (%d doubtful), %d dropped", said, doubtful, dropped)
    log.info("%s heard %s in all", counted(regions, "region"), counted(hearings, "time"))


class Recogniser:
    """Whisper over the regions of a job.

    Args:
        context: with the model.
        opened: closes files in the end.
        sounds: of the regions.
        ahead: what was heard already, by one of these with the same context.
        keeps: whether what is heard is kept there as well.

    Attributes:
        found_ahead: how many regions had been heard already.
    """

    def __init__(
        self,
        context: StageContext,
        opened: ExitStack,
        sounds: Sounds,
        ahead: Hearings | None = None,
        *,
        keeps: bool = False,
    ) -> None:
        self._context, self._sounds, self._ahead, self._keeps = context, sounds, ahead, keeps
        self.found_ahead = 0
        if ahead is not None:
            opened.callback(ahead.close)

    @cached_property
    def model(self) -> FasterWhisper:
        # Loaded when it is first needed: a resumed job may have heard everything already.
        options = self._context.options
        return FasterWhisper(self._context.models[options.model], device=options.device, threads=options.threads)

    def language_of(self, region: Region) -> dict[str, float]:
        """How probable each language is in a region."""
        return self.model.language_of(self._sounds.of(region).vocals)

    def heard(self, number: int, region: Region, speech: Sequence[Region], film: str) -> Heard:
        """What is said in a region of a film in this language."""
        sound = self._sounds.of(region)
        if self._ahead is None:
            return self._listen(number, region, sound, speech, film)
        key = key_of(region, sound, speech, film)
        if (heard := self._ahead.find(key, number)) is not None:
            self.found_ahead += 1
            return heard
        heard = self._listen(number, region, sound, speech, film)
        if self._keeps:
            self._ahead.add(key, heard)
        return heard

    def _listen(self, number: int, region: Region, sound: Sound, speech: Sequence[Region], film: str) -> Heard:
        options = self._context.options
        language = self._language(region, sound, speech, film)

        def ear(listenings: Sequence[Listening]) -> list[list[Segment]]:
            sounds = {each.audio: sound.heard_as(each.audio) for each in listenings}
            found = self.model.hear_together(sounds, listenings[0])
            return [[segment.moved(region.start) for segment in found[each.audio]] for each in listenings]

        wanted = Wanted(language, options.asr_audio, scripts_for(language, options.script))
        rules = HURRIED if self._context.rehearsal else ListeningRules()
        return listen(number, region, sound, speech, wanted, ear, rules)

    def _language(self, region: Region, sound: Sound, speech: Sequence[Region], film: str) -> str:
        """What is spoken in a region: the film's language, unless it was to be found, and surely is another one
        here.
        """
        if self._context.job.source_language != AUTO or overlap(region, speech) < ENOUGH_SPEECH:
            return film
        return language_here(self.model.language_of(sound.vocals), film)


@dataclass(frozen=True)
class _Spoken:
    """The language of a film; the probability is `None` where it was given."""

    code: str
    probability: float | None


def _language(context: StageContext, recogniser: Recogniser, found: Regions, lines: Lines) -> _Spoken:
    """The language as it was given, or as it was found; once found it is kept, so that a resumed run cannot waver."""
    asked = context.job.source_language
    if asked != AUTO:
        spoken = _Spoken(asked, None)
    elif lines.entries:
        spoken = msgspec.json.decode(lines.entries[0], type=_Spoken)
    else:
        code, probability = find_language(found.regions, found.speech, recogniser.language_of)
        spoken = _Spoken(code, probability)
        log.info("the language is %s (probability %.2f)", code, probability)
    if not lines.entries:
        lines.append(msgspec.json.encode(spoken))
    return spoken


def _heard(lines: Lines) -> Iterator[Heard]:
    """What came of each region so far, read anew: a film of ten hours has a hundred thousand words."""
    decoder = msgspec.json.Decoder(Heard)
    return (decoder.decode(lines.entries[index]) for index in range(1, len(lines.entries)))


def _hear_all(context: StageContext, recogniser: Recogniser, found: Regions, language: str, lines: Lines) -> None:
    """Hear every region that was not heard before, and keep each as soon as it is."""
    before = len(lines.entries) - 1  # the first entry is the language
    if before:
        log.info("%d of %d regions were already heard", before, len(found.regions))
    if before < len(found.regions):
        _ = recogniser.model  # loaded before the first report, so that reports tell the speed
    for index in range(before, len(found.regions)):
        region = found.regions[index]
        context.progress(Progress(index, len(found.regions), "regions", region.start))
        lines.append(msgspec.json.encode(recogniser.heard(index, region, found.speech, language)))
    film = found.regions[-1].end if found.regions else 0.0
    context.progress(Progress(len(found.regions), len(found.regions), "regions", film))
