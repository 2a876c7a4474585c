"""Measuring jobs, or what another tool made, against references: the way from a folder to figures.

Where transcripts and stems come from is a `Source`: jobs of ours in one setting, or a folder of results. Each
recording is measured in each of them; one that fails is listed, and does not end the evaluation. Jobs are ordinary
jobs: what is done is taken as it is, and an evaluation that was interrupted goes on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Protocol

import msgspec

from stemscribe.audio.decode import TrackDecoder
from stemscribe.audio.probe import probe
from stemscribe.errors import (
    EnvironmentBroken,
    JobError,
    JobNotFound,
    MediaError,
    ModelError,
    RecordError,
    StemscribeError,
    StorageError,
    UsageError,
)
from stemscribe.evaluation.distortion import RATE, Distortion, distortion
from stemscribe.evaluation.figures import Evaluation, Failure, Measured, totals
from stemscribe.evaluation.references import TEXTS, Found, Reference, find_references, stems_in
from stemscribe.evaluation.words import WordErrors, alignment, invented_words, word_errors
from stemscribe.jobs.folder import JobFolder, all_jobs
from stemscribe.jobs.job import Job, Options
from stemscribe.languages import AUTO
from stemscribe.models.store import ModelStore
from stemscribe.pipeline.prepare import Request, checked, latest_or_new
from stemscribe.pipeline.reporter import Event, Rehearsed, Reporter
from stemscribe.pipeline.runner import Outcome, Rules, run
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.pipeline.status import status_of
from stemscribe.records import read_record
from stemscribe.speech.faster_whisper import known_languages
from stemscribe.subtitles.reading import SUBTITLES, read_cues
from stemscribe.timebase import Seconds, to_seconds
from stemscribe.transcript import Transcript

log = logging.getLogger(__name__)

FOUR = frozenset({"drums", "bass", "other"})
SIX = frozenset({"guitar", "piano"})
# What is wrong with everything, and not with one recording.
_ENDS_IT = (UsageError, ModelError, EnvironmentBroken, StorageError)
_HYPOTHESES = (*TEXTS, ".json")


@dataclass(frozen=True)
class Result:
    """What is to be measured of one recording.

    Attributes:
        text: the transcript; `None` where there is none.
        stems: files by name, and what the samples in them were multiplied by.
        coverage: what the job's ledger says; `None` where there is none.
        job: the job's id; empty for what is not ours.
        language: that was asked for.
    """

    text: str | None
    stems: Mapping[str, tuple[Path, float]]
    coverage: float | None = None
    job: str = ""
    language: str = ""


class Source(Protocol):
    """Where transcripts and stems come from: one column of the comparison."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> object:
        """What `evaluation.json` says of it."""
        ...

    def of(self, reference: Reference) -> Result:
        """What is to be measured of one recording.

        Raises:
            StemscribeError: there is nothing, or it could not be made.
        """
        ...


@dataclass(frozen=True)
class Setting:
    """What is asked of the jobs of one column; `name` tells it from the others."""

    name: str
    options: Options
    language: str = ""


def references_in(folder: Path, *, no_speech: bool = False) -> Found:
    """What a folder holds to measure against; folders named after a language that Whisper knows say what is spoken.

    Raises:
        UsageError: it is no folder, or holds nothing of the kind.
    """
    known = known_languages()
    return find_references(folder, lambda name: name.lower() if name.lower() in known else None, no_speech=no_speech)


def settings_of(options: Options, language: str = "", compared: Sequence[str] = ()) -> tuple[Setting, ...]:
    """The columns that a user asks for.

    Args:
        options: of every job.
        language: what is spoken in all recordings; empty where their folders are to say it.
        compared: `asr-audio=mix,vocals`: an option and values for it, each a column. Of several, every combination.

    Raises:
        UsageError: there is no such option or no such value, or the request is about a part of a recording.
    """
    if options.start_time or options.end_time is not None:
        raise UsageError(
            "A reference is about the whole of its recording: --start-time and --end-time have no place here.",
            hint="Cut the recording and its text instead.",
        )
    choices = [_choices(one) for one in compared]
    settings = []
    for combination in product(*choices):
        changed = asdict(options) | dict(combination)
        name = " ".join(value for _, value in combination) or options.model
        settings.append(Setting(name, _options(changed, dict(combination)), language))
    if len({setting.name for setting in settings}) < len(settings):
        raise UsageError(f"--compare {' '.join(compared)} names a value twice.", hint="Give each once.")
    return tuple(settings)


def _choices(compared: str) -> list[tuple[str, str]]:
    option, separator, values = compared.partition("=")
    field = option.strip().removeprefix("--").replace("-", "_")
    known = [one.name for one in fields(Options) if one.name not in {"start_time", "end_time"}]
    if not separator or field not in known:
        raise UsageError(
            f"--compare {compared} names no option with values.",
            hint="Write an option, and values for it: --compare asr-audio=mix,vocals. Options are "
            f"{', '.join(name.replace('_', '-') for name in known)}.",
        )
    return [(field, value.strip()) for value in values.split(",") if value.strip()]


def _options(values: Mapping[str, object], compared: Mapping[str, str]) -> Options:
    try:
        return msgspec.convert(values, Options, strict=False)
    except msgspec.ValidationError as error:
        said = ", ".join(f"{name.replace('_', '-')}={value}" for name, value in compared.items())
        raise UsageError(
            f"--compare {said} cannot be: {error}.", hint="`stemscribe run --help` has the values."
        ) from error


class Jobs:
    """Jobs of ours in one setting.

    A job is rehearsed once in a setting, the first that has work to do: a rehearsal before each of a hundred short
    recordings would take longer than they do.

    Args:
        setting: what is asked of them.
        out_dir: the folder of job folders.
        models: where models come from.
        environments: the folder of virtual environments.
        rules: how careful to be.
        report: told of everything that happens.
        only_done: whether jobs that are not completed are left as they are, and count as missing.
    """

    def __init__(
        self,
        setting: Setting,
        out_dir: Path,
        models: ModelStore,
        environments: Path,
        rules: Rules,
        report: Reporter = lambda event: None,
        *,
        only_done: bool = False,
    ) -> None:
        self.name = setting.name
        self._setting, self._out_dir = setting, out_dir
        self._models, self._environments = models, environments
        self._rules, self._report, self._only_done = rules, report, only_done

    @property
    def description(self) -> object:
        return {"language": self._setting.language or "by folder", **asdict(self._setting.options)}

    def job(self, reference: Reference) -> Job:
        """The job that a recording is measured in, without an id.

        Raises:
            StemscribeError: it cannot be made.
        """
        options = self._setting.options
        if options.stems == "two" and (wanted := set(reference.stems)) & (FOUR | SIX):
            options = replace(options, stems="six" if wanted & SIX else "four")
        language = self._setting.language or reference.language or AUTO
        workflow = "transcribe" if reference.heard else "separate"
        request = Request(reference.media, workflow, language, options)
        return checked(request, self._models.catalog, self._environments)

    def check(self, references: Iterable[Reference]) -> None:
        """Find out before the first job whether the request can be meant for all of them.

        Raises:
            UsageError, EnvironmentBroken: it cannot.
        """
        for reference in references:
            with suppress(MediaError):  # one that cannot be used is listed when its turn comes
                self.job(reference)

    def of(self, reference: Reference) -> Result:
        job = self.job(reference)
        if self._only_done:
            folder = self._done(job)
            return _result(folder, _artefacts(folder), job.source_language)
        folder, _ = latest_or_new(self._out_dir, job)
        outcome: Outcome = run(folder, self._models, self._environments, self._told, self._rules)
        return _result(folder, outcome.artefacts, job.source_language)

    def _told(self, event: Event) -> None:
        if isinstance(event, Rehearsed):
            self._rules = replace(self._rules, rehearse=False)
        self._report(event)

    def _done(self, job: Job) -> JobFolder:
        """The latest completed job that asked for the same."""
        for folder in reversed(all_jobs(self._out_dir)):
            try:
                if folder.job.asks_the_same_as(job) and status_of(folder).state == "completed":
                    return folder
            except RecordError:
                continue  # another job's broken record is no reason not to look on
        raise JobNotFound(
            f"No job in {self._out_dir} has done this with {Path(job.media).name}.",
            hint="Leave out --jobs to have it done.",
        )


def _artefacts(folder: JobFolder) -> dict[str, Path]:
    """What a completed job has made.

    Raises:
        JobError: something of it is not there any more.
    """
    found = {
        artefact.name: folder.path / artefact.path
        for record in folder.manifest.stages.values()
        for artefact in record.artefacts
    }
    if missing := [path.name for path in found.values() if not path.is_file()]:
        raise JobError(
            f"{folder.path.name} has lost {', '.join(missing)}.",
            hint=f"stemscribe run -j {folder.path.name} makes it again.",
        )
    return found


@dataclass(frozen=True)
class _Ledger:
    """What an evaluation reads of `ledger.json`."""

    coverage: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


def _result(folder: JobFolder, artefacts: Mapping[str, Path], language: str) -> Result:
    text = read_record(artefacts["transcript"], Transcript).text if "transcript" in artefacts else None
    separation = read_record(artefacts["separation"], SeparationRecord)
    stems = {name: (artefacts[name], stem["gain"]) for name, stem in separation.stems.items()}
    coverage = read_record(artefacts["ledger"], _Ledger).coverage if "ledger" in artefacts else None
    return Result(text, stems, coverage, folder.path.name, language)


class Results:
    """What any tool has made, in a folder: `NAME.txt` (or .srt, .vtt, .json), and stems in a folder `NAME`.

    `NAME` is that of the recording, or of its mixture's folder; where a name occurs once only, it may lie anywhere.

    Args:
        folder: where they are.

    Raises:
        UsageError: it is no folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder.", hint="Name the folder of what is to be measured.")
        self.name = folder.resolve().name
        self._folder = folder

    @property
    def description(self) -> object:
        return {"hypotheses": str(self._folder)}

    @cached_property
    def _texts(self) -> dict[str, list[Path]]:
        paths = (path for path in _walk(self._folder) if path.suffix.lower() in _HYPOTHESES)
        return self._by_name((path, path.with_suffix("")) for path in sorted(paths, key=_preference))

    @cached_property
    def _stems(self) -> dict[str, list[Path]]:
        places = dict.fromkeys(path.parent for path in _walk(self._folder))
        return self._by_name((place, place) for place in places if place != self._folder and stems_in(place))

    def _by_name(self, named: Iterable[tuple[Path, Path]]) -> dict[str, list[Path]]:
        """What is there by its name below the folder, and by the last part of that."""
        found: dict[str, list[Path]] = {}
        for path, name in named:
            relative = name.relative_to(self._folder).as_posix()
            for key in {relative, name.name}:
                found.setdefault(key, []).append(path)
        return found

    def of(self, reference: Reference) -> Result:
        text = self._one(self._texts, reference) if reference.heard else None
        place = self._one(self._stems, reference) if reference.stems else None
        stems = {name: (path, 1.0) for name, path in stems_in(place).items()} if place else {}
        if text is None and not stems:
            raise JobNotFound(
                f"There is nothing of {reference.name} in {self._folder}.",
                hint=f"It would be {reference.name}.txt, or stems in a folder {reference.name}.",
            )
        return Result(None if text is None else text_of(text), stems)

    def _one(self, found: Mapping[str, list[Path]], reference: Reference) -> Path | None:
        """What is there of a recording.

        Raises:
            JobError: several are of that name, in places that do not tell which is meant.
        """
        last = reference.name.rpartition("/")[2]
        for key in (reference.name, f"{reference.name}/{reference.media.stem}", last):
            paths = found.get(key, [])
            if len({path.with_suffix("") for path in paths}) == 1:
                return paths[0]
            if paths:
                raise JobError(
                    f"{self._folder} has {len(paths)} results called {key}.",
                    hint=f"Put the one that is meant at {reference.name}.",
                )
        return None


def _walk(folder: Path) -> list[Path]:
    return [Path(place) / name for place, _, names in os.walk(folder) for name in sorted(names)]


def _preference(path: Path) -> tuple[int, str]:
    return _HYPOTHESES.index(path.suffix.lower()), str(path)


def text_of(path: Path) -> str:
    """What a text file, subtitles, or the JSON of a recogniser (`text`, or `segments` that have it) say.

    Raises:
        MediaError: it cannot be read as that.
    """
    if path.suffix.lower() in SUBTITLES:
        return "\n".join(line for cue in read_cues(path) for line in cue.lines)
    try:
        content = path.read_bytes()
        return _spoken(path, content) if path.suffix.lower() == ".json" else content.decode("utf-8-sig")
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise MediaError(f"{path} is not UTF-8.", hint="Save it as UTF-8.") from error


class _Piece(msgspec.Struct):
    text: str | None = None


class _Said(msgspec.Struct):
    """As much as the JSON of Whisper, of those who call faster-whisper, of WhisperX and of ours have in common."""

    text: str | None = None
    segments: list[_Piece] | None = None


def _spoken(path: Path, content: bytes) -> str:
    try:
        said = msgspec.json.decode(content, type=_Said | list[_Piece])
    except (msgspec.DecodeError, RecursionError) as error:
        raise MediaError(f"{path} is not the JSON of a transcript: {error}.", hint=_JSON) from error
    pieces = said if isinstance(said, list) else said.segments
    texts = [piece.text for piece in pieces or () if piece.text is not None]
    if pieces is not None and (texts or not pieces):
        return " ".join(texts)
    if isinstance(said, list) or said.text is None:
        raise MediaError(f"{path} is not the JSON of a transcript: it has neither text nor segments.", hint=_JSON)
    return said.text


_JSON = 'It should be {"text": "…"}, or {"segments": [{"text": "…"}]}.'


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
