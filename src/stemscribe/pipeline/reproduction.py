"""Making a job's results again, elsewhere, and comparing them: the test that a receipt cannot pass by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stemscribe.audio.source import AudioSource
from stemscribe.errors import JobError, MediaError
from stemscribe.jobs.folder import JobFolder
from stemscribe.jobs.manifest import ArtefactRecord
from stemscribe.models.store import ModelStore
from stemscribe.pipeline.reporter import Reporter
from stemscribe.pipeline.runner import Rules, run
from stemscribe.pipeline.workflows import workflow_named
from stemscribe.records import write_record

PLACE = ".reproductions"


@dataclass(frozen=True)
class Compared:
    """One artefact, made twice.

    Attributes:
        path: relative to the job's folder.
        same: whether both are the same, byte for byte.
        difference: in what they differ, as the end of a sentence; empty where they do not.
    """

    path: str
    same: bool
    difference: str = ""


def reproduce(
    folder: JobFolder,
    film: Path,
    into: Path,
    models: ModelStore,
    environments: Path,
    rules: Rules,
    report: Reporter = lambda event: None,
) -> list[Compared]:
    """Run the same request again, taking nothing over, and compare what comes out with what the job has.

    A reproduction that is interrupted goes on when it is asked for again.

    Args:
        folder: a job that is completed.
        film: where its film is now.
        into: the folder in which the new job folder is made; it has the same name.
        models: where models come from.
        environments: the folder of virtual environments.
        rules: how careful to be; nothing is taken over in any case.
        report: told of everything that happens.

    Returns:
        Every artefact of the job, in the order of the stages, and after each stage's what only came out this time.

    Raises:
        JobError: the job is not completed, or another one lies where the new one would.
        StemscribeError: it cannot be made again.
    """
    job, manifest = folder.job, folder.manifest
    steps = workflow_named(job.workflow).steps
    if unfinished := [step.stage.name for step in steps if manifest.stage(step.stage.name).status != "completed"]:
        raise JobError(
            f"{job.id} is not completed ({', '.join(unfinished)}): there is nothing to compare with.",
            hint=f"Run it first: stemscribe run -j {job.id}.",
        )
    again = _same_request(folder, film, into)
    run(again, models, environments, report, replace(rules, reuse=False))
    made = again.manifest
    results = []
    for step in steps:
        then, now = (
            {artefact.path: artefact for artefact in each.stage(step.stage.name).artefacts} for each in (manifest, made)
        )
        results += [_compared(folder, again, artefact, now) for artefact in then.values()]
        results += [Compared(path, False, "was not made then") for path in now if path not in then]
    return results


def _same_request(folder: JobFolder, film: Path, into: Path) -> JobFolder:
    """A job folder with the same request for the same film, and with what was decided for it."""
    again = JobFolder(into / folder.path.name)
    if again.path.resolve() == folder.path.resolve():
        raise JobError(f"{again.path} is the job itself.", hint="Choose another folder with --into.")
    request = replace(folder.job, media=str(film.absolute()))
    if not (again.path / "job.json").exists():
        write_record(again.path / "job.json", request)
    elif again.job != request:
        raise JobError(f"{again.path} is another job.", hint="Choose another folder with --into.")
    if not again.manifest.engine:
        again.manifest = replace(again.manifest, engine=folder.manifest.engine, quality=folder.manifest.quality)
    return again


def _compared(
    folder: JobFolder, again: JobFolder, artefact: ArtefactRecord, made: dict[str, ArtefactRecord]
) -> Compared:
    if artefact.path not in made:
        return Compared(artefact.path, False, "was not made again")
    if made[artefact.path].sha256 == artefact.sha256:
        return Compared(artefact.path, True)
    return Compared(artefact.path, False, _difference(folder.path / artefact.path, again.path / artefact.path))


def _difference(before: Path, after: Path) -> str:
    """In what two files differ; of sound, how loud the difference is."""
    try:
        with AudioSource(before) as one, AudioSource(after) as other:
            if one.frames != other.frames:
                return f"has {other.frames} frames instead of {one.frames}"
            signal = noise = 0.0
            for first, second in _blocks(one, other):
                signal += float(np.sum(np.square(first, dtype=np.float64)))
                noise += float(np.sum(np.square(first - second, dtype=np.float64)))
    except MediaError:
        return "differs"
    if not noise:
        return "is the same sound in another file"
    return f"differs by {10 * np.log10(max(signal, 1e-30) / noise):.1f} dB SNR"


def _blocks(one: AudioSource, other: AudioSource) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return zip(one.blocks(), other.blocks(), strict=True)
