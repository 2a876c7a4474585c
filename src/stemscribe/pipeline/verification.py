"""Checking a job against its receipts: is all of it what it says it is?

Nothing is believed that can be looked at: the manifest is compared with its seal, each fingerprint with what it is the
hash of, each input with what the stage before has made, each file with its hash, the film with what was asked for, and
the models with the catalog. What cannot be looked at here, because a film or a model lies elsewhere, is said.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from stemscribe.audio.probe import identity
from stemscribe.environments.installed import digest
from stemscribe.environments.profile import CORE
from stemscribe.errors import NotAsRecorded
from stemscribe.jobs.folder import JobFolder
from stemscribe.jobs.job import Job
from stemscribe.jobs.manifest import ArtefactRecord, Dependencies, Manifest, Receipt, StageRecord
from stemscribe.models.store import ModelStore
from stemscribe.pipeline.decisions import decided
from stemscribe.pipeline.receipt import option, this_machine
from stemscribe.pipeline.stage import StageContext
from stemscribe.pipeline.stages.source_separation import OneWindow, SourceSeparation, separate_one_again
from stemscribe.pipeline.workflows import Step, Workflow, workflow_named
from stemscribe.timebase import clock

_AGREEMENT_DB = 60.0  # between machines: what both engines are held to
AGAIN = "Run the job again: it makes anew what is not as it was."


@dataclass(frozen=True)
class Checked:
    """Something that was looked at, and found to be true or impossible to tell here.

    Attributes:
        subject: what was looked at.
        known: whether it could be told.
        found: what was found, as the rest of a sentence.
    """

    subject: str
    known: bool
    found: str


def verify(folder: JobFolder, models: ModelStore, environments: Path, *, deep: bool = False) -> Iterator[Checked]:
    """Check a job.

    Args:
        folder: the job.
        models: nothing is fetched; a model that is not there is not looked at.
        environments: the folder of virtual environments.
        deep: whether to separate a random window again as well, and compare it with the stems.

    Yields:
        What was found to be true, and what cannot be told here, as it is found.

    Raises:
        NotAsRecorded: the first thing that is not as it is said to be.
        RecordError: `job.json` or `manifest.json` cannot be read.
    """
    manifest = folder.manifest
    yield _check_manifest(folder, manifest)
    job = folder.job
    workflow = workflow_named(job.workflow)
    job = decided(folder, job, workflow, models.catalog, environments).job
    optional = workflow.optional(job.options)
    made: dict[str, ArtefactRecord] = {}
    unmade: set[str] = set()
    for step in workflow.steps:
        record = manifest.stage(step.stage.name)
        if record.status != "completed":
            yield Checked(step.stage.name, False, f"is {record.status}")
            continue
        yield from _check_receipt(step, record, job, made, unmade, optional, environments)
        for artefact in record.artefacts:
            yield _check_artefact(folder, step, artefact)
        made |= {artefact.name: artefact for artefact in record.artefacts}
        unmade |= {artefact.name for artefact in step.stage.outputs(job.options) if artefact.name not in made}
    yield _check_film(job)
    yield from _check_models(manifest, models)
    if deep:
        yield from _check_deeply(folder, job, workflow, manifest, models, environments)


def _check_manifest(folder: JobFolder, manifest: Manifest) -> Checked:
    if manifest.version < Manifest.version:
        return Checked("manifest.json", False, "is of the first form, which has neither receipts nor a seal")
    if not folder.is_manifest_as_written():
        raise NotAsRecorded(
            f"{folder.path / 'manifest.json'} was changed after stemscribe had written it: its seal does not fit.",
            hint="What it says can no longer be proven. Prepare a new job for the film and run it with --no-cache.",
        )
    return Checked("manifest.json", True, "is as it was written")


def _check_receipt(
    step: Step,
    record: StageRecord,
    job: Job,
    made: dict[str, ArtefactRecord],
    unmade: Collection[str],
    optional: Collection[str],
    environments: Path,
) -> Iterator[Checked]:
    """Check what a stage says its result was made from."""
    name, receipt = step.stage.name, record.receipt
    if receipt is None:
        yield Checked(name, False, "has no receipt")
        return
    depended = receipt.dependencies
    if depended.fingerprint != record.fingerprint or depended.stage != name:
        raise NotAsRecorded(
            f"The receipt of {name} does not fit its fingerprint {record.fingerprint[:12]}…", hint=AGAIN
        )
    _check_inputs(name, depended, made, unmade)
    _check_without(name, depended, {one for one in step.stage.inputs if one in optional and one in made})
    _check_options(name, step.stage.version, depended, job)
    outputs = {artefact.name for artefact in step.stage.outputs(job.options)} - set(optional)
    missing = outputs - {one.name for one in record.artefacts}
    if missing and depended.version == step.stage.version:  # another one may have made other files
        raise NotAsRecorded(f"The record of {name} is without {', '.join(sorted(missing))}.", hint=AGAIN)
    origin = f" by {receipt.origin}" if receipt.origin else ""
    when = f"{record.finished_at}{origin}, stemscribe {receipt.stemscribe}"
    yield Checked(name, True, f"was made from what it says ({when})")
    yield from _check_environments(name, receipt, environments)


def _check_inputs(name: str, depended: Dependencies, made: dict[str, ArtefactRecord], unmade: Collection[str]) -> None:
    for entered, sha256 in depended.inputs.items():
        if entered in unmade:
            raise NotAsRecorded(f"{name} was made from {entered}, and there is none of this film.", hint=AGAIN)
        artefact = made.get(entered)
        if artefact is not None and artefact.sha256 != sha256:
            raise NotAsRecorded(
                f"{name} was made from another {entered} (sha256 {sha256[:12]}…) than {artefact.path}"
                f" (sha256 {artefact.sha256[:12]}…).",
                hint=AGAIN,
            )


def _check_without(name: str, depended: Dependencies, there: Collection[str]) -> None:
    """Check that it was made from everything that there is to make it from, of what not every film has."""
    if without := sorted(set(there) - depended.inputs.keys()):
        raise NotAsRecorded(f"{name} was made without {', '.join(without)}, which there is of this film.", hint=AGAIN)


def _check_options(name: str, version: int, depended: Dependencies, job: Job) -> None:
    if depended.version == version:  # what was asked meant something else to another version
        _check_each_option(name, depended, job)
    if depended.film not in ("", job.media_identity):
        raise NotAsRecorded(f"{name} was made from another film than job.json asks for.", hint=AGAIN)


def _check_each_option(name: str, depended: Dependencies, job: Job) -> None:
    for key, used in depended.options.items():
        if (asked := option(job, key)) != used:
            raise NotAsRecorded(
                f"{name} was made with {key} = {used!r}, and job.json asks for {asked!r}.",
                hint="job.json is never changed after prepare. Run the job again to make what it asks for now.",
            )


def _check_environments(name: str, receipt: Receipt, environments: Path) -> Iterator[Checked]:
    """What was installed then and is not now is no lie; that it cannot be computed again in the same way is said."""
    for environment, then in receipt.environments.items():
        now = digest(Path(sys.prefix) if environment == CORE else environments / environment)
        if now != then:
            yield Checked(f"venv/{environment}", False, f"has changed since {name} was made in it")


def _check_artefact(folder: JobFolder, step: Step, artefact: ArtefactRecord) -> Checked:
    path = folder.path / artefact.path
    if Path(artefact.path).parent.as_posix() != step.folder:
        raise NotAsRecorded(f"The record of {step.stage.name} has {artefact.path} in a foreign folder.", hint=AGAIN)
    if not path.is_file():
        raise NotAsRecorded(f"{path} is missing; {step.stage.name} had made it.", hint=AGAIN)
    found = folder.record_of(artefact.name, path)
    if found != artefact:
        raise NotAsRecorded(
            f"{path} is not what {step.stage.name} made: sha256 {found.sha256[:12]}… with {found.size} bytes,"
            f" recorded are {artefact.sha256[:12]}… with {artefact.size}.",
            hint=AGAIN,
        )
    return Checked(artefact.path, True, "is whole")


def _check_film(job: Job) -> Checked:
    film = Path(job.media)
    if not film.is_file():
        return Checked(film.name, False, "is not where it was")
    if identity(film) != job.media_identity:
        raise NotAsRecorded(
            f"{film} is not the film that {job.id} was prepared for: its content has changed.",
            hint="Put the film back; what the job has made is still of the old one.",
        )
    return Checked(film.name, True, "is the film that was asked for")


def _check_models(manifest: Manifest, models: ModelStore) -> Iterator[Checked]:
    """Hash the files of every model that had a part in the job."""
    receipts = [record.receipt for record in manifest.stages.values() if record.status == "completed"]
    digests = {name: one for receipt in receipts if receipt for name, one in receipt.dependencies.models.items()}
    for name, then in digests.items():
        subject = f"model {name}"
        if name not in models.catalog or models.spec(name).digest != then:
            yield Checked(subject, False, "is not in the catalog as it was then")
            continue
        checks = models.verify(name)
        if damaged := [one for one in checks if one.status == "damaged"]:
            wrong = damaged[0]
            raise NotAsRecorded(
                f"{models.folder(name) / wrong.file} is not the model that was used: sha256"
                f" {(wrong.found or '')[:12]}…, expected {(wrong.expected or '')[:12]}….",
                hint=f"Run `stemscribe models fetch {name}`.",
            )
        whole = all(one.whole for one in checks)
        yield Checked(subject, whole, "is the one that was used" if whole else "is not here")


def _check_deeply(
    folder: JobFolder, job: Job, workflow: Workflow, manifest: Manifest, models: ModelStore, environments: Path
) -> Iterator[Checked]:
    """Separate one window again, whichever chance picks, and compare it with the stems."""
    for step in workflow.steps:
        record = manifest.stage(step.stage.name)
        if not isinstance(step.stage, SourceSeparation) or record.status != "completed":
            continue
        names = step.stage.models(job.options)
        if not all(one.whole for name in names for one in models.verify(name)):
            yield Checked("one window", False, "cannot be separated again without the model")
            continue
        paths = {
            artefact.name: folder.path / artefact.path
            for stage in manifest.stages.values()
            for artefact in stage.artefacts
        }
        context = StageContext(
            job=job,
            inputs={name: paths[name] for name in step.stage.inputs if name in paths},
            outputs={artefact.name: paths[artefact.name] for artefact in record.artefacts},
            models={name: models.fetch(name) for name in names},
            environments=environments,
            scratch=folder.path,
            progress=lambda progress: None,
        )
        yield _judged(separate_one_again(context, secrets.randbelow), record)


def _judged(again: OneWindow | None, record: StageRecord) -> Checked:
    if again is None:
        return Checked("the stems", False, "hold nothing that could be compared sample by sample")
    subject = f"window {again.index + 1} of {again.windows} (at {clock(again.start)})"
    if again.exact:
        return Checked(subject, True, "was separated again: the same, bit for bit")
    then = record.receipt.machine if record.receipt else None
    by_this_version = record.receipt is None or record.receipt.dependencies.version == SourceSeparation.version
    same_machine = then == this_machine() and again.runtime[0] == again.runtime[1] and by_this_version
    if same_machine or again.snr_db < _AGREEMENT_DB:
        raise NotAsRecorded(
            f"{subject[:1].upper()}{subject[1:]} was separated again, and the stems hold something else"
            f" ({again.snr_db:.1f} dB SNR).",
            hint="The stems are not what this model makes of this mix. Run the job again with --no-cache, or"
            " `stemscribe reproduce`.",
        )
    how = "elsewhere, or otherwise" if again.runtime[0] == again.runtime[1] else f"by {again.runtime[0]}"
    return Checked(subject, True, f"was separated again {how}: {again.snr_db:.0f} dB SNR")
