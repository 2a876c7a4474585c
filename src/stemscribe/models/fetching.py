"""How one file of a model comes into its place: from the first source that gives it, verified, flushed and renamed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stemscribe.errors import FetchError, ModelError, StorageError, VerificationError
from stemscribe.models.sources import ContentError, FetchContext, Source, SourceError, Target
from stemscribe.models.spec import ModelFile, ModelSpec
from stemscribe.records import TEMPORARY, flush_to_disk
from stemscribe.wording import readable

# Left free beside a download, for whatever else writes to the same disk.
RESERVE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Failure:
    """One line of what was tried."""

    source: str
    error: SourceError

    def __str__(self) -> str:
        return f"  - {self.source}: {self.error}"


class NothingObtained(Exception):
    """No source gave the file. The store turns this into what a user is told."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__(f"{len(failures)} sources failed")
        self.failures = failures


def obtain(
    file: ModelFile,
    folder: Path,
    sources: Sequence[Source],
    context: FetchContext,
    progress: Callable[[int, int | None], None],
) -> str:
    """Put a file into its folder from the first source that gives it, and return its sha256.

    Raises:
        NothingObtained: no source gave it.
    """
    failures: list[Failure] = []
    for source in sources:
        target = Target(_temporary(folder, file, source), file.size, file.sha256, progress)
        target.drop_links()
        try:
            published = source.write(target, context)
            sha256 = target.verified(published)
        except SourceError as error:
            failures.append(Failure(str(source), error))
            if isinstance(error, ContentError):
                context.announce(f"{file.name} of {source} was not accepted: {error}.")
            if isinstance(error, ContentError) or not target.resumable:
                target.discard()
        else:
            _commit(target.path, folder / file.name)
            return sha256
    raise NothingObtained(failures)


def refusal(
    spec: ModelSpec, file: ModelFile, folder: Path, failures: Sequence[Failure], *, offline: bool
) -> ModelError:
    """What to tell a user when no source gave a file: what was tried, and what can be done."""
    tried = " Tried:" + "".join(f"\n{failure}" for failure in failures) if failures else ""
    network = "turn offline off" if offline else "check the network connection"
    advice = [failure.error.advice for failure in failures if failure.error.advice]
    ways = [network, *dict.fromkeys(advice), f"put the file by hand at {folder / file.name}"]
    hint = f"To go on, {', or '.join(ways)}; then run `stemscribe models fetch {spec.name}`."
    if wrong := [failure for failure in failures if isinstance(failure.error, ContentError)]:
        return VerificationError(
            f"Model `{spec.name}` failed verification: {file.name} from {wrong[0].source}: {wrong[0].error}. What came"
            f" was deleted; it was damaged on its way, or the catalog is outdated.{tried}",
            hint=hint,
        )
    reason = f"no source gave {file.name}."
    if offline:
        reason = f"{file.name} is missing or damaged in {folder}, and offline is on, so nothing was downloaded."
    return FetchError(f"Model `{spec.name}` could not be fetched: {reason}{tried}", hint=hint)


def check_space(spec: ModelSpec, files: Iterable[ModelFile], folder: Path) -> None:
    """See that the disk has room for the files before the first of them is fetched.

    Raises:
        StorageError: it has not.
    """
    # What an interrupted download has left counts as fetched; the first source stands for those after it.
    needed = sum(file.expected_bytes * file.sources[0].copies for file in files) - _left_over(folder)
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE_BYTES:
        raise StorageError(
            f"Model `{spec.name}` needs {readable(needed)} in {folder}, but only {readable(free)} are free.",
            hint="Free some space, or set STEMSCRIBE_MODELS_DIR to a folder on another disk.",
        )


def _temporary(folder: Path, file: ModelFile, source: Source) -> Path:
    """A hidden path beside the file, the same whenever this source is tried again, and no other source's."""
    key = hashlib.sha256(msgspec.json.encode(source)).hexdigest()[:8]
    return folder / f".{file.name}.{key}{TEMPORARY}"


def _left_over(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob(f".*{TEMPORARY}"))


def _commit(temporary: Path, place: Path) -> None:
    flush_to_disk(temporary)
    temporary.replace(place)
    flush_to_disk(place.parent)
    for leftover in place.parent.glob(f".{place.name}.*{TEMPORARY}*"):
        leftover.unlink(missing_ok=True)
