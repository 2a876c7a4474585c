"""Each recording measured in each source; one that fails is listed, and does not end the evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemscribe.audio.decode import TrackDecoder
from stemscribe.audio.probe import probe
from stemscribe.errors import (
    EnvironmentBroken,
    JobError,
    MediaError,
    ModelError,
    StemscribeError,
    StorageError,
    UsageError,
)
from stemscribe.evaluation.distortion import RATE, Distortion, distortion
from stemscribe.evaluation.figures import Evaluation, Failure, Measured, totals
from stemscribe.evaluation.references import Found, Reference, find_references
from stemscribe.evaluation.words import WordErrors, alignment, invented_words, word_errors
from stemscribe.pipeline.evaluation.results import text_of
from stemscribe.pipeline.evaluation.sources import Result, Source
from stemscribe.speech.faster_whisper import known_languages
from stemscribe.timebase import Seconds, to_seconds

log = logging.getLogger(__name__)

# What is wrong with everything, and not with one recording.
_ENDS_IT = (UsageError, ModelError, EnvironmentBroken, StorageError)


def references_in(folder: Path, *, no_speech: bool = False) -> Found:
    """What a folder holds to measure against; folders named after a language that Whisper knows say what is spoken.

    Raises:
        UsageError: it is no folder, or holds nothing of the kind.
    """
    known = known_languages()
    return find_references(folder, lambda name: name.lower() if name.lower() in known else None, no_speech=no_speech)


@dataclass(frozen=True)
class Subject:
    """A reference that can be measured against: its text was read, its length is known."""

    reference: Reference
    seconds: Seconds
    text: str | None


def subjects_of(references: Iterable[Reference]) -> tuple[list[Subject], list[Failure]]:
    """Read what references say, and how long they are; those that cannot be read are failures in every setting."""
    subjects, failures = [], []
    for reference in references:
        try:
            subjects.append(_subject(reference))
        except StemscribeError as error:
            failures.append(Failure(reference.name, "", error.message, error.hint))
    return subjects, failures


def _subject(reference: Reference) -> Subject:
    text = None if reference.text is None else text_of(reference.text)
    if text is not None and not invented_words(text):
        raise MediaError(
            f"{reference.text} has no word in it.",
            hint="If nobody speaks in the recording, remove it, and put the recording into a folder called no-speech.",
        )
    return Subject(reference, _length(reference.media), text)


def _length(path: Path) -> Seconds:
    """How long a recording is; where its header does not tell, it is decoded."""
    media = probe(path)
    if media.duration:
        return media.duration
    track = media.track()
    return to_seconds(sum(block.shape[1] for block in TrackDecoder(path, track.number, RATE).blocks()), RATE)


def evaluate(
    folder: Path,
    found: Found,
    subjects: Sequence[Subject],
    failures: Iterable[Failure],
    sources: Sequence[Source],
    tell: Callable[[str], None] = lambda sentence: None,
    note: Callable[[Measured, str], None] = lambda measured, alignment: None,
) -> Evaluation:
    """Measure every recording in every setting.

    Args:
        folder: where the references are, for the record.
        found: what is in it.
        subjects: the references that can be measured against.
        failures: those that cannot.
        sources: the settings, in the order in which they are shown.
        tell: called with a sentence before each recording.
        note: called with each transcript that was compared, aligned to its reference.

    Raises:
        UsageError, ModelError, EnvironmentBroken, StorageError: no recording can be measured so. What was made by
        then stays.
    """
    measured, failed = [], list(failures)
    for number, subject in enumerate(subjects, start=1):
        for source in sources:
            tell(f"{number} of {len(subjects)}: {subject.reference.name} ({source.name})")
            try:
                one, aligned = measure(subject, source)
            except _ENDS_IT:
                raise
            except StemscribeError as error:
                log.warning("%s could not be measured: %s", subject.reference.name, error.message)
                failed.append(Failure(subject.reference.name, source.name, error.message, error.hint))
                continue
            measured.append(one)
            note(one, aligned)
    names = [source.name for source in sources]
    descriptions = {source.name: source.description for source in sources}
    return Evaluation(
        str(folder), descriptions, tuple(measured), tuple(totals(measured, names)), tuple(failed), found.left_out
    )


def measure(subject: Subject, source: Source) -> tuple[Measured, str]:
    """Measure one recording in one setting; and its transcript beside the reference, empty where there is no text.

    Raises:
        StemscribeError: it cannot be measured.
    """
    reference = subject.reference
    result = source.of(reference)
    stems = _distortions(reference, result)
    if not stems and result.text is None:
        raise JobError(
            f"What there is of {reference.name} and what it is to be compared with have nothing in common.",
            hint=f"The reference has {', '.join(reference.stems)}.",
        )
    words: WordErrors | None = None
    aligned = ""
    if subject.text is not None and result.text is not None:
        words, aligned = word_errors(subject.text, result.text), alignment(subject.text, result.text)
    one = Measured(
        reference=reference.name,
        group=reference.group,
        setting=source.name,
        seconds=subject.seconds,
        language=result.language,
        words=words,
        invented=invented_words(result.text) if reference.silent and result.text is not None else None,
        stems=stems,
        coverage=result.coverage,
        job=result.job,
    )
    return one, aligned


def _distortions(reference: Reference, result: Result) -> dict[str, Distortion]:
    return {
        name: distortion(true, result.stems[name][0], reference.media, level=result.stems[name][1])
        for name, true in reference.stems.items()
        if name in result.stems
    }
