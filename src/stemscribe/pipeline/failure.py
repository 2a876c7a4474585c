"""What can go wrong around a stage, as it is told: what happened, and what to do."""

from __future__ import annotations

from pathlib import Path

from stemscribe.audio.probe import identity
from stemscribe.errors import MediaError, StageError, StemscribeError, UsageError
from stemscribe.jobs.job import Job
from stemscribe.pipeline.rehearsal import LESS_MEMORY
from stemscribe.records import is_unwritable, storage_error
from stemscribe.timebase import Seconds
from stemscribe.wording import readable


def check_film(job: Job) -> None:
    """See that the film is there, and is the one that the job was prepared for.

    Raises:
        MediaError: it is not.
    """
    film = Path(job.media)
    if not film.is_file():
        raise MediaError(
            f"The film is not there any more: {film}.", hint="Put it back, or prepare a job from where it is."
        )
    if identity(film) != job.media_identity:
        raise MediaError(
            f"{film.name} is not the file that {job.id} was prepared for: its content has changed.",
            hint="Prepare a new job for it.",
        )


def as_failure(home: Path, stage: str, error: Exception) -> StemscribeError:
    """An error that can be told: those of the house as they are, all others with what they say."""
    if isinstance(error, UsageError):  # what was asked for was found good; it is the world that has changed since
        return StageError(error.message, hint=error.hint)
    if isinstance(error, StemscribeError):
        return error
    if isinstance(error, OSError) and is_unwritable(error):
        return storage_error(home, error)
    if isinstance(error, MemoryError):
        return StageError(
            f"{stage} ran out of memory.", hint="Close other programs, and run the job again: it goes on."
        )
    return StageError(
        f"{stage} failed: {str(error).rstrip('.') or type(error).__name__}.",
        hint=f"The traceback is in {home / 'stage.log'}; run the job again to go on with what is done.",
    )


def too_much_memory(taken: int, limit: int, *, is_rehearsal: bool) -> StageError:
    """What to tell when a stage has taken more memory, in bytes, than the run may take."""
    kept = "" if is_rehearsal else " What was computed is kept: the next run goes on from there."
    return StageError(
        f"{readable(taken)} of memory were taken, and --max-ram allows {readable(limit)}.", hint=LESS_MEMORY + kept
    )


def hung(stage: str, patience: Seconds) -> StageError:
    """What to tell when a stage has shown no sign of life for so long."""
    return StageError(
        f"{stage} has shown no sign of life for {patience / 60:g} minutes, and was ended.",
        hint="Run the job again: it goes on with what is done. If it hangs again, try --device cpu, and see whether"
        " the disks of the film and of the job answer.",
    )
