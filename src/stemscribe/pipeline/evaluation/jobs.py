"""Jobs of ours in one setting: what is done is taken as it is, and the rest is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Annotated

import msgspec

from stemscribe.errors import (
    JobError,
    JobNotFound,
    MediaError,
    RecordError,
    UsageError,
)
from stemscribe.evaluation.references import Reference
from stemscribe.jobs.folder import JobFolder, all_jobs
from stemscribe.jobs.job import Job, Options
from stemscribe.languages import AUTO
from stemscribe.models.store import ModelStore
from stemscribe.pipeline.evaluation.sources import Result
from stemscribe.pipeline.prepare import Request, checked, latest_or_new
from stemscribe.pipeline.reporter import Event, Rehearsed, Reporter
from stemscribe.pipeline.runner import Outcome, Rules, run
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.pipeline.status import status_of
from stemscribe.records import read_record
from stemscribe.transcript import Transcript

FOUR = frozenset({"drums", "bass", "other"})
SIX = frozenset({"guitar", "piano"})


@dataclass(frozen=True)
class Setting:
    """What is asked of the jobs of one column; `name` tells it from the others."""

    name: str
    options: Options
    language: str = ""


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
