"""The job's folder: the only database there is.

It is complete in itself, so that it can be copied, moved or handed on: every path in it is relative to it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TypeVar

from filelock import FileLock, Timeout

from stemscribe.errors import JobLocked, JobNotFound, RecordError, StorageError
from stemscribe.jobs.job import Job
from stemscribe.jobs.manifest import ArtefactRecord, Manifest
from stemscribe.records import TEMPORARY, flush_to_disk, read_record, sha256_of, storage_error, write_record

Versioned = TypeVar("Versioned", Job, Manifest)
_PATIENCE = 1.0  # seconds: another process may be looking whether the job is running
REHEARSAL = ".rehearsal-"  # begins the name of a folder that goes with the run that made it
_ID = re.compile(r"job-\d{8}-\d{4,}")


class JobFolder:
    """One job on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log_path = path / "pipeline.log"
        self._manifest_path = path / "manifest.json"
        self._lock_path = path / ".lock"

    @property
    def job(self) -> Job:
        """What was asked.

        Raises:
            RecordError: `job.json` is missing or not valid.
        """
        return _not_newer(self.path / "job.json", read_record(self.path / "job.json", Job))

    @property
    def manifest(self) -> Manifest:
        """What happened so far.

        Raises:
            RecordError: `manifest.json` is not valid.
        """
        if not self._manifest_path.exists():
            return Manifest(job=self.path.name)
        return _within(self._manifest_path, _not_newer(self._manifest_path, read_record(self._manifest_path, Manifest)))

    @manifest.setter
    def manifest(self, manifest: Manifest) -> None:
        write_record(self._manifest_path, manifest.sealed())

    def is_manifest_as_written(self) -> bool:
        """Whether nothing but stemscribe has changed the manifest; one that is not there was not changed.

        Raises:
            RecordError: `manifest.json` is not valid.
        """
        return not self._manifest_path.exists() or self.manifest.is_as_written(self._manifest_path.read_bytes())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process off this job; the lock is let go even when its holder is killed.

        Raises:
            JobLocked: another process holds it, and not just to look.
            RecordError: something in the folder leads out of it.
        """
        lock = FileLock(self._lock_path)
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout as error:
            raise JobLocked(
                f"{self.path.name} is being run by another process.",
                hint="Wait for it, or stop it, then run the job again.",
            ) from error
        except OSError as error:
            raise storage_error(self.path, error) from error
        try:
            self._check_contained()
            yield
        finally:
            lock.release()

    def _check_contained(self) -> None:
        """Refuse a folder with links in it: whoever made it may be a stranger, and we write and delete at known names.

        What is no file and no folder (a pipe, a device) is refused as well: to read it may take for ever.
        """
        for place, folders, files in os.walk(self.path):
            for path in (Path(place) / name for name in (*folders, *files)):
                try:
                    mode = path.lstat().st_mode
                except FileNotFoundError:  # the last breath of a run that was killed
                    continue
                if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                    raise RecordError(
                        f"{path} is a link, or no file at all: what is written into a job has to stay in it.",
                        hint="Remove it, or put the file or the folder that it leads to in its place.",
                    )

    def sweep(self) -> None:
        """Remove what a killed run left behind half-written, as far as that can be; only for the one who holds the
        lock.
        """
        for path in self.path.glob(f".*{TEMPORARY}"):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        for folder in self.path.glob(f"{REHEARSAL}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def is_locked(self) -> bool:
        """Whether some process is running this job; nothing is written to find out."""
        if not self._lock_path.exists():
            return False
        lock = FileLock(self._lock_path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # a disk that cannot be written: nobody can be running it there
            return False
        lock.release()
        return False

    def record_of(self, name: str, path: Path) -> ArtefactRecord:
        """An artefact as it is on the disk now."""
        relative = path.relative_to(self.path).as_posix()
        return ArtefactRecord(name, relative, path.stat().st_size, sha256_of(path))

    def is_whole(self, artefact: ArtefactRecord) -> bool:
        """Whether an artefact is on the disk, byte for byte as it was recorded."""
        path = self.path / artefact.path
        try:
            return path.stat().st_size == artefact.size and sha256_of(path) == artefact.sha256
        except OSError:
            return False


def create(out_dir: Path, job: Job) -> JobFolder:
    """A new job folder with the next free id of today; it appears with its `job.json` in it, or not at all.

    Args:
        out_dir: the folder of job folders; made if there is none.
        job: the request; its id is replaced.

    Raises:
        StorageError: the folder cannot be written.
    """
    day = datetime.now(timezone.utc).astimezone().strftime("%Y%m%d")
    draft = out_dir / f".{secrets.token_hex(4)}.part"
    try:
        draft.mkdir(parents=True)
        for number in range(_last_number(out_dir, day) + 1, 1_000_000):
            name = f"job-{day}-{number:04d}"
            write_record(draft / "job.json", replace(job, id=name))
            if _moved(draft, out_dir / name):
                flush_to_disk(out_dir)
                return JobFolder(out_dir / name)
    except OSError as error:
        raise storage_error(out_dir, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    raise StorageError(f"{out_dir} has no number left for a job of today.", hint="Move old jobs elsewhere.")


def find(out_dir: Path, name: str) -> JobFolder:
    """A job by its id, or by the path of its folder.

    Raises:
        JobNotFound: there is none.
    """
    for path in (out_dir / name, Path(name)):
        with suppress(OSError):  # a name that is too long is the name of nothing
            if (path / "job.json").is_file():
                return JobFolder(path.resolve() if path == Path(name) else path)
    known = [folder.path.name for folder in all_jobs(out_dir)]
    latest = f"The latest is {known[-1]}." if known else "There is none yet: make one with prepare."
    raise JobNotFound(f"There is no job {name!r} in {out_dir}.", hint=latest)


def all_jobs(out_dir: Path) -> list[JobFolder]:
    """Every job folder, oldest first."""
    if not out_dir.is_dir():
        return []
    names = [path for path in out_dir.iterdir() if _ID.fullmatch(path.name) and (path / "job.json").is_file()]
    return [JobFolder(path) for path in sorted(names, key=lambda path: (path.name[:12], int(path.name[13:])))]


def _not_newer(path: Path, record: Versioned) -> Versioned:
    if record.version > type(record).version:
        raise RecordError(f"{path} was written by a newer stemscribe.", hint="Update this one, then run the job again.")
    return record


def _within(path: Path, manifest: Manifest) -> Manifest:
    """The manifest, once it is clear that it names no file outside of its job: it may come from anywhere."""
    for record in manifest.stages.values():
        for artefact in record.artefacts:
            parts = PurePosixPath(artefact.path).parts
            if not parts or parts[0] == "/" or ".." in parts or "\\" in artefact.path or ":" in parts[0]:
                raise RecordError(
                    f"{path} names {artefact.path!r}, which is no file of this job.", hint="Restore it from a copy."
                )
    return manifest


def _last_number(out_dir: Path, day: str) -> int:
    numbers = [int(path.name[13:]) for path in out_dir.glob(f"job-{day}-*") if _ID.fullmatch(path.name)]
    return max(numbers, default=0)


def _moved(draft: Path, target: Path) -> bool:
    """Rename a folder, unless the name is taken (two processes may want the same number)."""
    if target.exists():
        return False
    try:
        draft.rename(target)
    except OSError:
        if target.exists():
            return False
        raise
    return True
