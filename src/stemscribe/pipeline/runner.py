"""The runner: what is whole is skipped, what is missing is made, and everything that happens is recorded.

For each stage: a fingerprint says what its result depends on. If the manifest has that fingerprint and every artefact
is on the disk byte for byte, there is nothing to do. Else the stage runs on temporary paths; when it returns, its
outputs are flushed, renamed and hashed, and only then does the manifest say that it is completed. Its scratch folder
goes last. Killed at any point, the next run finds either the completed stage or its scratch.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from stemscribe.environments.interpreter import is_there, python_in
from stemscribe.environments.profile import CORE
from stemscribe.errors import StemscribeError
from stemscribe.jobs.folder import JobFolder
from stemscribe.jobs.job import Job, Options
from stemscribe.jobs.manifest import ArtefactRecord, Dependencies, StageRecord
from stemscribe.models.store import ModelStore
from stemscribe.pipeline.companion import AHEAD, FINAL, LISTENING, Companion, remove_live, start
from stemscribe.pipeline.decisions import SEPARATION, decided
from stemscribe.pipeline.failure import as_failure, check_film, hung, too_much_memory
from stemscribe.pipeline.loading import Loading
from stemscribe.pipeline.logs import logged_to
from stemscribe.pipeline.receipt import dependencies, reads_film, receipt
from stemscribe.pipeline.rehearsal import Expectation, Rehearsal, check_fits, check_models_fit
from stemscribe.pipeline.reporter import (
    JobCompleted,
    JobFailed,
    JobStarted,
    Rehearsed,
    Reporter,
    StageCompleted,
    StageFailed,
    StageInterrupted,
    StageProgressed,
    StageSkipped,
    StageStarted,
)
from stemscribe.pipeline.resources import give_memory_back, taken_memory, trim_memory
from stemscribe.pipeline.reuse import as_taken_over, results_of_others, take_over
from stemscribe.pipeline.stage import LoadingStage, Progress, Stage, StageContext
from stemscribe.pipeline.watchdog import PATIENCE, Watchdog
from stemscribe.pipeline.workflows import Step, Workflow, workflow_named
from stemscribe.records import flush_to_disk, make_folder, rename, replacing, storage_error
from stemscribe.timebase import Seconds

log = logging.getLogger(__name__)

_PROGRESS_EVERY = 0.25


@dataclass(frozen=True)
class Outcome:
    """What a job has made: the paths of all artefacts by name."""

    folder: JobFolder
    artefacts: Mapping[str, Path]

    def hand_out(self, stage: str, target: Path) -> list[Path]:
        """Put copies of a stage's artefacts into a folder of the user's.

        Raises:
            StorageError: the folder cannot be written.
        """
        handed = []
        for artefact in self.folder.manifest.stage(stage).artefacts:
            source = self.folder.path / artefact.path
            with replacing(target / source.name) as temporary:
                shutil.copyfile(source, temporary)
            handed.append(target / source.name)
        return handed


@dataclass(frozen=True)
class Rules:
    """How careful a run is.

    Attributes:
        rehearse: whether the job is rehearsed before its first stage, and refused when it will not fit.
        force: whether one whose rehearsal failed, or that will not fit, is run all the same.
        reuse: whether what another job beside this one has made of the same is taken over.
        is_rehearsal: whether this run is itself one.
        patience: how long a stage may work without a sign of life.
        max_memory: the most memory, in bytes, that the run may take; `None` for as much as there is.
        live: whether what is separated is recognised meanwhile, for subtitles that grow.
    """

    rehearse: bool = True
    force: bool = False
    reuse: bool = True
    is_rehearsal: bool = False
    patience: Seconds = PATIENCE
    max_memory: int | None = None
    live: bool = False


def run(
    folder: JobFolder,
    models: ModelStore,
    environments: Path,
    report: Reporter = lambda event: None,
    rules: Rules = Rules(),
) -> Outcome:
    """Run a job to its end, from wherever it stands.

    Args:
        folder: the job.
        models: where models come from.
        environments: the folder of virtual environments.
        report: told of everything that happens.
        rules: how careful to be.

    Raises:
        JobLocked: another process is running it.
        StemscribeError: it cannot be completed; what was made stays, and the next run goes on from there.
    """
    started = time.monotonic()
    with _opened(folder, models, environments, report, rules) as one_run:
        paths = one_run.complete()
        seconds = time.monotonic() - started
        log.info("✅ Job %s: COMPLETED (%.1fs)", folder.job.id, seconds)
        report(JobCompleted(folder.job.id, seconds))
        return Outcome(folder, paths)


def rehearse(
    folder: JobFolder,
    models: ModelStore,
    environments: Path,
    report: Reporter = lambda event: None,
    rules: Rules = Rules(),
) -> Expectation:
    """Rehearse a job, even if that was done before, and run none of it.

    Raises:
        JobLocked: another process is running it.
        StemscribeError: it would not work, or will not fit.
    """
    with _opened(folder, models, environments, report, rules) as one_run:
        return one_run.rehearse(fresh=True)


@contextmanager
def _opened(
    folder: JobFolder, models: ModelStore, environments: Path, report: Reporter, rules: Rules
) -> Iterator[_Run]:
    """A run of a job, for as long as nobody else may run it; what goes wrong in it is reported."""
    give_memory_back()
    with folder.locked(), logged_to(folder.log_path):
        folder.sweep()
        job = folder.job
        log.info("job %s: %s of %s", job.id, job.workflow, job.media)
        report(JobStarted(job.id, str(folder.path)))
        try:
            workflow = workflow_named(job.workflow)
            if not folder.is_manifest_as_written():
                log.warning("manifest.json was changed by somebody else: its receipts prove nothing, and are dropped")
                folder.manifest = folder.manifest.without_receipts()
            job = _decided(folder, job, workflow, models, environments, reuse=rules.reuse)
            yield _Run(folder, job, workflow, models, environments, report, rules)
        except StemscribeError as error:
            log.debug("job %s failed: %s", job.id, error, exc_info=error)
            report(JobFailed(job.id, error.message, error.hint))
            raise
        finally:
            folder.sweep()  # once more: the rehearsal of a run that was killed may just have ended


class _Run:
    """One run of one job."""

    def __init__(
        self,
        folder: JobFolder,
        job: Job,
        workflow: Workflow,
        models: ModelStore,
        environments: Path,
        report: Reporter,
        rules: Rules,
    ) -> None:
        self._folder, self._job, self._workflow = folder, job, workflow
        self._models, self._environments, self._report = models, environments, report
        self._rules = rules
        self._has_begun = not rules.rehearse or rules.is_rehearsal
        self._optional = workflow.optional(job.options)
        self._artefacts: dict[str, ArtefactRecord] = {}
        self._companion: Companion | None = None
        self._loading = Loading()
        self._expected_memory = 0  # as long as that is not known

    @property
    def paths(self) -> dict[str, Path]:
        return {name: self._folder.path / artefact.path for name, artefact in self._artefacts.items()}

    def complete(self) -> dict[str, Path]:
        """Run every stage that is not completed, and give the paths of all artefacts by name."""
        self._check()
        with self._loading:
            for position, step in enumerate(self._workflow.steps):
                self._step(position, step)
        return self.paths

    def rehearse(self, *, fresh: bool = False) -> Expectation:
        """Find out by a rehearsal that the job will work, and that it fits."""
        self._check()
        rehearsal = Rehearsal(
            self._folder,
            self._job,
            self._workflow,
            self._models,
            self._environments,
            None if self._rules.force else self._rules.max_memory,
        )
        expected = rehearsal.expectation(fresh=fresh)
        self._expected_memory = expected.memory_bytes
        self._report(Rehearsed(self._job.id, **asdict(expected)))
        if not self._rules.force:
            check_fits(self._folder, expected, self._rules.max_memory)
        return expected

    def _rehearse_first(self) -> None:
        """Rehearse the job before it begins; with `force`, a rehearsal that fails is a warning."""
        try:
            self.rehearse()
        except StemscribeError as error:
            if not self._rules.force:
                raise
            log.warning("going on all the same, as asked (--force): %s", error)

    def _check(self) -> None:
        """Find out what would fail later: a film that is gone or changed, a model that cannot be had."""
        manifest, readers = (
            self._folder.manifest,
            (step.stage for step in self._workflow.steps if reads_film(step.stage)),
        )
        if any(manifest.stage(stage.name).status != "completed" for stage in readers):
            check_film(self._job)
        names = self._all_models(self._job.options)
        if self._rules.max_memory is not None and not self._rules.force:
            check_models_fit(self._models, names, self._rules.max_memory)
        for name in names:
            self._models.fetch(name)

    def _step(self, position: int, step: Step) -> None:
        """Bring one stage to its completion, unless it is there already, here or in another job."""
        stage = step.stage
        inputs = {name: self._artefacts[name].sha256 for name in self._there(stage.inputs)}
        digests = {name: self._models.spec(name).digest for name in stage.models(self._job.options)}
        depended = dependencies(stage, self._job, inputs, digests, self._environments)
        record = self._folder.manifest.stage(stage.name)
        if self._is_done(step, record, depended.fingerprint) or self._taken_over(step, depended.fingerprint):
            self._loading.let_go(stage.name)
            return
        if reads_film(stage):
            check_film(self._job)
        if not self._has_begun:
            self._rehearse_first()
            self._has_begun = True
        self._load_for(self._workflow.steps[position + 1 : position + 2])
        log.info("▶️  Stage %s: STARTING", stage.name)
        trim_memory()
        self._report(StageStarted(stage.name, position, len(self._workflow.steps)))
        with logged_to(self._folder.path / step.folder / "stage.log"):
            started = StageRecord("running", depended.fingerprint, record.attempts + 1, _now())
            self._run_stage(step, started, depended)

    def _load_for(self, following: Iterable[Step]) -> None:
        """Begin to load what the next stage begins with."""
        for stage in (step.stage for step in following):
            if isinstance(stage, LoadingStage) and self._folder.manifest.stage(stage.name).status != "completed":
                self._loading.begin(stage, self._job.options, self._models_of(stage), self._environments)

    def _is_done(self, step: Step, record: StageRecord, wanted: str) -> bool:
        """Whether a stage is completed, with what it depends on as it is now, and all that it made is whole."""
        stage = step.stage
        if record.status != "completed":
            return False
        if record.fingerprint != wanted and not self._cannot_tell(stage):
            log.info("what %s depends on has changed: it runs again", stage.name)
            return False
        damaged = [artefact.path for artefact in record.artefacts if not self._folder.is_whole(artefact)]
        if damaged:
            log.warning("%s changed or vanished since it was made: %s runs again", ", ".join(damaged), stage.name)
            return False
        log.info("⏭  Stage %s: SKIPPED (already completed)", stage.name)
        self._report(StageSkipped(stage.name))
        self._finish(step, record.artefacts)
        return True

    def _taken_over(self, step: Step, wanted: str) -> bool:
        """Whether another job has made the same, and it is now here too."""
        if not self._rules.reuse:
            return False
        name, home = step.stage.name, self._folder.path / step.folder
        for other, record in results_of_others(self._folder, name, wanted):
            try:
                drafts = _emptied(home / ".draft")
                if not take_over(other, record, drafts):
                    continue
                _give_names((drafts / Path(artefact.path).name for artefact in record.artefacts), home)
                self._clear_unmade(step, {artefact.name for artefact in record.artefacts})
                _remove(drafts)
            except OSError as error:
                raise storage_error(home, error) from error
            taken = as_taken_over(record, other, step.folder)
            self._record(step, taken)
            log.info("⏭  Stage %s: SKIPPED (%s made the same)", name, other.path.name)
            self._report(StageSkipped(name, other.path.name))
            self._finish(step, taken.artefacts)
            return True
        return False

    def _there(self, names: Iterable[str]) -> list[str]:
        """Those of a stage's inputs that are there: an optional artefact may not have been made of this film."""
        return [name for name in names if name in self._artefacts or name not in self._optional]

    def _clear_unmade(self, step: Step, made: Collection[str]) -> None:
        """Remove what the stage once made of this film and does not make any more, so that nobody takes it for its."""
        for artefact in step.stage.outputs(self._job.options):
            if artefact.optional and artefact.name not in made:
                (self._folder.path / step.folder / artefact.file).unlink(missing_ok=True)

    def _finish(self, step: Step, artefacts: tuple[ArtefactRecord, ...]) -> None:
        """Hand on what a completed stage has made; what it needed on the way goes."""
        for name in (".scratch", AHEAD):
            _remove(self._folder.path / step.folder / name)
        if any(artefact.name == FINAL for artefact in artefacts):
            remove_live(self._folder)
        self._artefacts |= {artefact.name: artefact for artefact in artefacts}

    def _cannot_tell(self, stage: Stage) -> bool:
        """Whether an environment is not here by which a finished stage could be told to be outdated."""
        others = [name for name in stage.packages(self._job.options) if name != CORE]
        return any(not is_there(python_in(self._environments / name)) for name in others)

    def _run_stage(self, step: Step, record: StageRecord, depended: Dependencies) -> None:
        stage, started = step.stage, time.monotonic()
        self._record(step, record)

        def ended(**changes: object) -> StageRecord:
            seconds = round(time.monotonic() - started, 3)
            return replace(record, finished_at=_now(), seconds=seconds, **changes)  # type: ignore[arg-type]

        def despair() -> None:
            failure = hung(stage.name, self._rules.patience)
            self._report(StageFailed(stage.name, failure.message, failure.hint))
            log.error("❌ Stage %s: FAILED", stage.name)
            log.error("%s\n%s", failure.message, failure.hint)  # nobody above gets to say it
            self._record_if_possible(step, ended(status="failed", error=str(failure)))
            self._report(JobFailed(self._job.id, failure.message, failure.hint))

        try:
            with Watchdog(self._rules.patience, despair) as watchdog:
                artefacts = self._make(step, record.fingerprint, watchdog)
        except KeyboardInterrupt:
            self._report(StageInterrupted(stage.name))
            log.warning("⏸  Stage %s: INTERRUPTED (run the job again to go on)", stage.name)
            self._record_if_possible(step, ended(status="interrupted"))
            raise
        except Exception as error:
            failure = as_failure(self._folder.path / step.folder, stage.name, error)
            self._report(StageFailed(stage.name, failure.message, failure.hint))
            log.debug("the traceback of this failure:", exc_info=error)
            log.error("❌ Stage %s: FAILED", stage.name)
            self._record_if_possible(step, ended(status="failed", error=str(failure)))
            if failure is error:
                raise
            raise failure from error
        done = ended(status="completed", artefacts=artefacts, receipt=receipt(depended, self._environments))
        self._record(step, done)
        self._finish(step, artefacts)
        made = {artefact.name: str(self.paths[artefact.name]) for artefact in artefacts}
        self._report(StageCompleted(stage.name, done.seconds, made))
        for artefact in stage.outputs(self._job.options):
            if artefact.headline and artefact.name in made:
                log.info("✓ %s: %s", artefact.headline, self.paths[artefact.name])
        log.info("✅ Stage %s: COMPLETED (%.1fs)", stage.name, done.seconds)

    def _make(self, step: Step, wanted: str, watchdog: Watchdog) -> tuple[ArtefactRecord, ...]:
        """Run the stage on temporary paths, then give its outputs their names."""
        stage, home = step.stage, self._folder.path / step.folder
        outputs = stage.outputs(self._job.options)
        drafts, scratch = home / ".draft", home / ".scratch" / wanted[:16]
        try:
            _emptied(drafts)
            make_folder(scratch)
        except OSError as error:
            raise storage_error(home, error) from error
        context = StageContext(
            job=self._job,
            inputs={name: self.paths[name] for name in self._there(stage.inputs)},
            outputs={artefact.name: drafts / artefact.file for artefact in outputs},
            models=self._models_of(stage),
            environments=self._environments,
            scratch=scratch,
            progress=_Throttle(lambda progress: self._progressed(stage.name, progress), watchdog.alive),
            rehearsal=self._rules.is_rehearsal,
            ahead=self._ahead(step),
            begun=self._loading.take(stage.name),
        )
        with self._accompanied(stage, scratch):
            stage.run(context)
        if reads_film(stage):
            check_film(self._job)  # it may have been written to while it was read
        try:
            made = [one for one in outputs if not one.optional or context.outputs[one.name].exists()]
            _give_names((context.outputs[artefact.name] for artefact in made), home)
            self._clear_unmade(step, {artefact.name for artefact in made})
            _remove(drafts)
            return tuple(self._folder.record_of(artefact.name, home / artefact.file) for artefact in made)
        except OSError as error:
            raise storage_error(home, error) from error

    def _ahead(self, step: Step) -> Path:
        """Where a companion keeps what it does of a stage's work: by all that this depends on but its inputs."""
        digests = {name: self._models.spec(name).digest for name in step.stage.models(self._job.options)}
        depended = dependencies(step.stage, self._job, {}, digests, self._environments)
        return self._folder.path / step.folder / AHEAD / depended.fingerprint[:32]

    @contextmanager
    def _accompanied(self, stage: Stage, scratch: Path) -> Iterator[None]:
        """For as long as a film is separated, what is finished of it is recognised, if that was asked for."""
        listening = next((step for step in self._workflow.steps if step.stage.name == LISTENING), None)
        if not self._rules.live or self._rules.is_rehearsal or stage.name != SEPARATION or listening is None:
            yield
            return
        try:
            self._companion = start(
                self._folder,
                self._job,
                self.paths,
                {name: self._models.fetch(name) for name in self._all_models(self._job.options)},
                scratch,
                self._ahead(listening),
                expected=self._expected_memory,
                max_memory=self._rules.max_memory,
            )
            yield
        finally:
            if self._companion is not None:
                self._companion.end()
            self._companion = None

    def _progressed(self, stage: str, progress: Progress) -> None:
        """Tell it, and end a stage that has taken more memory than it may; what it has committed stays."""
        self._report(StageProgressed(stage, progress))
        trim_memory()
        if self._companion is not None:
            self._companion.look_after(self._rules.max_memory)
        limit = self._rules.max_memory
        if limit is not None and (taken := taken_memory()) > limit:
            raise too_much_memory(taken, limit, is_rehearsal=self._rules.is_rehearsal)

    def _record(self, step: Step, record: StageRecord) -> None:
        self._folder.manifest = self._folder.manifest.with_stage(step.stage.name, record)

    def _record_if_possible(self, step: Step, record: StageRecord) -> None:
        """Record how a stage ended badly; that the disk is full must not hide what happened."""
        try:
            self._record(step, record)
        except StemscribeError as error:
            log.warning("this could not be recorded: %s", error)

    def _models_of(self, stage: Stage) -> dict[str, Path]:
        return {name: self._models.fetch(name) for name in stage.models(self._job.options)}

    def _all_models(self, options: Options) -> list[str]:
        return list(dict.fromkeys(name for step in self._workflow.steps for name in step.stage.models(options)))


def _decided(
    folder: JobFolder, job: Job, workflow: Workflow, models: ModelStore, environments: Path, *, reuse: bool
) -> Job:
    """The job with what was left open decided, and that written down, so that it goes on as it began."""
    found = decided(folder, job, workflow, models.catalog, environments, reuse=reuse)
    if found.why:
        options, manifest = found.job.options, folder.manifest
        log.info("engine %s: %s", options.engine, found.why)
        manifest = replace(manifest, engine=options.engine)
        if job.options.quality == "auto" and options.quality != "auto":
            manifest = replace(manifest, quality=options.quality)
        if manifest != folder.manifest:
            folder.manifest = manifest
    return found.job


class _Throttle:
    """Lets progress through four times a second; whole windows and regions, and the end, always."""

    def __init__(self, tell: Callable[[Progress], None], alive: Callable[[], None]) -> None:
        self._tell, self._alive, self._last = tell, alive, 0.0

    def __call__(self, progress: Progress) -> None:
        self._alive()
        now = time.monotonic()
        if progress.unit != "s" or progress.done >= progress.total > 0 or now - self._last >= _PROGRESS_EVERY:
            self._last = now
            self._tell(progress)


def _give_names(drafts: Iterable[Path], home: Path) -> None:
    """Put files that are done where they belong, each whole or not at all."""
    for draft in drafts:
        flush_to_disk(draft)
        rename(draft, home / draft.name)


def _emptied(folder: Path) -> Path:
    """A folder with nothing in it."""
    _remove(folder)
    folder.mkdir(parents=True)
    return folder


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
