"""Results of other jobs: what one job has made, another need not make again.

Equal fingerprints are equal results, and the receipt in a manifest holds what the fingerprint is made of. So a second
workflow on the same film finds the stems of the first one, whatever its id, as long as both lie below the same `out/`.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stemscribe.errors import RecordError
from stemscribe.jobs.folder import JobFolder, all_jobs
from stemscribe.jobs.manifest import StageRecord
from stemscribe.records import sha256_of

log = logging.getLogger(__name__)


def results_of_others(folder: JobFolder, stage: str, fingerprint: str) -> Iterator[tuple[JobFolder, StageRecord]]:
    """The jobs beside this one that have completed a stage with this very fingerprint, latest first.

    Their artefacts may be gone or damaged since. Left out are manifests that somebody has changed, results without a
    receipt that fits, and the jobs of other users: a receipt proves nothing against somebody who means to deceive.
    """
    for other in reversed(all_jobs(folder.path.parent)):
        if other.path.name == folder.path.name or not _is_mine(other.path):
            continue
        try:
            record, is_honest = other.manifest.stage(stage), other.is_manifest_as_written()
        except RecordError:  # another job's broken record is no reason not to do this one
            continue
        if is_honest and record.status == "completed" and record.fingerprint == fingerprint and _fits(record):
            yield other, record


def _is_mine(path: Path) -> bool:
    return sys.platform == "win32" or path.lstat().st_uid == os.getuid()


def _fits(record: StageRecord) -> bool:
    return record.receipt is not None and record.receipt.dependencies.fingerprint == record.fingerprint


def are_there(source: JobFolder, record: StageRecord) -> bool:
    """Whether another job's artefacts are still there; whether they are whole is seen when they are taken over."""
    paths = {source.path / artefact.path: artefact.size for artefact in record.artefacts}
    return all(path.is_file() and path.stat().st_size == size for path, size in paths.items())


def take_over(source: JobFolder, record: StageRecord, drafts: Path) -> bool:
    """Put another job's artefacts into a folder: the same files under a second name where the disk allows it, else
    copies.

    Whoever writes here replaces whole files, so that a second name is as safe as a copy.

    Returns:
        Whether all of them are there, byte for byte as their job recorded them.

    Raises:
        OSError: the folder cannot be written.
    """
    for artefact in record.artefacts:
        draft = drafts / Path(artefact.path).name
        try:
            _link_or_copy(source.path / artefact.path, draft)
        except FileNotFoundError:
            return False
        if draft.stat().st_size != artefact.size or sha256_of(draft) != artefact.sha256:
            log.warning("%s of %s changed since it was made: it is not taken over", artefact.path, source.path.name)
            return False
    return True


def as_taken_over(record: StageRecord, source: JobFolder, home: str) -> StageRecord:
    """The record of a stage whose result another job made.

    Args:
        record: that of the other job.
        source: the other job.
        home: the stage's folder in this one.
    """
    assert record.receipt is not None
    return replace(
        record,
        artefacts=tuple(replace(one, path=f"{home}/{Path(one.path).name}") for one in record.artefacts),
        receipt=replace(record.receipt, origin=record.receipt.origin or source.path.name),
    )


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(strict=True), target)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or a file system that knows no second names
        shutil.copyfile(source, target)
