"""Regions in, words out."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import ClassVar

import msgspec

from stemscribe.concurrency import one_ahead
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
AT_ONCE = 2  # regions that are heard at a time, each on half of the cores: Whisper does not use two of them well


class Asr:
    """Recognises speech region by region with Whisper; each region is safe as soon as it is heard."""

    name = "asr"
    version = 7
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
            sounds, ahead = Sounds(context, opened), found_in(context.ahead)
            to_hear = len(found.regions) - max(0, len(lines.entries) - 1)  # the first entry is the language
            # A rehearsal has one region, and takes what the job will.
            at_once = AT_ONCE if context.rehearsal else max(1, min(AT_ONCE, to_hear))
            recogniser = Recogniser(context, opened, sounds, ahead, at_once=at_once)
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
    """Whisper over the regions of a job; threads may share it.

    Args:
        context: with the model.
        opened: closes files in the end; nothing more is heard from then on.
        sounds: of the regions.
        ahead: what was heard already, by one of these with the same context.
        keeps: whether what is heard is kept there as well.
        at_once: how many regions are heard at a time, where there are the cores for it.

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
        at_once: int = 1,
    ) -> None:
        self._context, self._sounds, self._ahead, self._keeps, self._at_once = context, sounds, ahead, keeps, at_once
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self.found_ahead = 0
        if ahead is not None:
            opened.callback(ahead.close)
        opened.callback(self._stopped.set)

    @cached_property
    def model(self) -> FasterWhisper:
        # Loaded when it is first needed: a resumed job may have heard everything already.
        options = self._context.options
        folder = self._context.models[options.model]
        return FasterWhisper(folder, device=options.device, threads=options.threads, at_once=self._at_once)

    def language_of(self, region: Region) -> dict[str, float]:
        """How probable each language is in a region."""
        return self.model.language_of(self._sounds.of(region).vocals)

    def heard(self, number: int, region: Region, speech: Sequence[Region], film: str) -> Heard:
        """What is said in a region of a film in this language."""
        sound = self._sounds.of(region)
        if self._ahead is None:
            return self._listen(number, region, sound, speech, film)
        key = key_of(region, sound, speech, film)
        with self._lock:
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
            if self._stopped.is_set():
                raise CancelledError
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
    """Hear every region that was not heard before, and keep each as soon as it and all before it are."""
    before, count = len(lines.entries) - 1, len(found.regions)  # the first entry is the language
    if before:
        log.info("%d of %d regions were already heard", before, count)

    def hear(index: int) -> Heard:
        return recogniser.heard(index, found.regions[index], found.speech, language)

    # Loaded before the first report, so that reports tell the speed.
    at_once = recogniser.model.at_once if before < count else 1
    missing = list(range(before, count))
    if context.rehearsal and len(missing) < at_once:
        missing *= at_once  # the same again at the same time: so much memory will be taken, and so fast it will be
    total = before + len(missing)

    def tell(done: int) -> None:
        at = found.regions[done].start if done < count else found.regions[-1].end if count else 0.0
        context.progress(Progress(done, total, "regions", at))

    tell(before)
    for done, (index, heard) in enumerate(one_ahead(hear, missing, threads=at_once, ahead=at_once), before + 1):
        if index == len(lines.entries) - 1:
            lines.append(msgspec.json.encode(heard))
        tell(done)
