"""What has to hold whatever went wrong, as plain questions to files and to what was said.

Each question is answered by a list of sentences: what is broken, empty when all is well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from stemscribe.records import sha256_of

from .place import Run, hashes

WINDOWS_UNDER_WAY = 2  # one that is being committed, and the next one, at which the model is
REGIONS_UNDER_WAY = 3  # two that are being heard, and one that is there and waits for the first of them
PASSING = (".part", ".draft", ".scratch", ".rehearsal-")
_HINT = re.compile(r"^\[ERROR\] \S.*\n {8}\S", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last)"
_NOBODYS_FAULT = "stemscribe itself is at fault"


def unwhole(job: Path, whole: Mapping[str, str], beside: Collection[str] = ()) -> list[str]:
    """Files with a final name that are not what they should be, and completed stages whose artefacts are not there.

    Args:
        job: a job's folder, in whatever state.
        whole: by path, the SHA-256 of every file of the undisturbed job: the same film makes the same files.
        beside: paths that were damaged on purpose.
    """
    wrong = [
        f"{name} has its name and is not whole"
        for name, sha256 in whole.items()
        if name not in beside and (job / name).is_file() and sha256_of(job / name) != sha256
    ]
    return wrong + [f"the manifest vouches for {name}, which is not so" for name in _falsely_recorded(job, beside)]


def _falsely_recorded(job: Path, beside: Collection[str]) -> list[str]:
    try:
        stages = json.loads((job / "manifest.json").read_bytes())["stages"]
    except (OSError, ValueError, KeyError):
        return []  # there is none, or it was damaged on purpose: a run says so
    return [
        artefact["path"]
        for stage in stages.values()
        if stage["status"] == "completed"
        for artefact in stage["artefacts"]
        if artefact["path"] not in beside
        and not ((job / artefact["path"]).is_file() and sha256_of(job / artefact["path"]) == artefact["sha256"])
    ]


def differing(job: Path, whole: Mapping[str, str], beside: Collection[str] = ()) -> list[str]:
    """What a finished job has more, less or other than the undisturbed one, to the last bit."""
    made = hashes(job)
    return [
        f"{name} is {'other' if name in made and name in whole else 'too much' if name in made else 'missing'}"
        for name in sorted({*made, *whole} - {*beside})
        if made.get(name) != whole.get(name)
    ]


def left_over(job: Path) -> list[str]:
    """What a finished job has that only belongs there while somebody works."""
    return [
        f"{path.relative_to(job)} was left behind"
        for path in job.rglob(".*")
        if any(mark in path.name for mark in PASSING)
    ]


def strays(root: Path, before: Mapping[str, str], out: str = "out") -> list[str]:
    """What was written, changed or removed outside of `out/`."""
    now = contents(root, out)
    return [f"{name} was touched" for name in sorted({*now, *before}) if now.get(name) != before.get(name)]


def contents(root: Path, out: str = "out") -> dict[str, str]:
    """Every file below a folder but for those in `out/`, with its SHA-256."""
    return {
        path.relative_to(root).as_posix(): sha256_of(path)
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] != out
    }


def unsaid(run: Run, says: str = "", error: bool = False) -> list[str]:
    """What a process should have said, and what none should ever say.

    Args:
        run: what it did.
        says: a pattern that its talk has to have.
        error: whether it has to say `[ERROR]`, what happened, and beneath that what to do.
    """
    wrong = [f"it says {each!r}" for each in (_TRACEBACK, _NOBODYS_FAULT) if each in run.err]
    if error and not _HINT.search(run.err):
        wrong.append(f"no [ERROR] with a hint, but {run.err.strip()[-200:]!r}")
    if says and not re.search(says, run.err, re.MULTILINE):
        wrong.append(f"nothing like {says!r} is said, but {run.err.strip()[-300:]!r}")
    return wrong


def ended_otherwise(run: Run, codes: Collection[int]) -> list[str]:
    """Whether it ended, and as designed."""
    if not run.ended:
        return [f"it had not ended after {run.seconds:.0f} s"]
    return [] if run.code in codes else [f"exit code {run.code}, not {' or '.join(map(str, sorted(codes)))}"]


def computed_again(run_windows: int, windows: int, run_regions: int, regions: int, faults: int) -> list[str]:
    """Whether more was computed, in all runs together, than the job has, and what was under way at every fault.

    That is two windows, or three regions.

    Args:
        run_windows: windows that were separated.
        windows: that there are, and that had to be done again because what was kept of them was destroyed.
        run_regions: regions that were heard.
        regions: likewise.
        faults: how many times something went wrong.
    """
    wrong = []
    if run_windows > windows + WINDOWS_UNDER_WAY * faults:
        wrong.append(f"{run_windows} windows were separated where {windows} and {WINDOWS_UNDER_WAY * faults} would do")
    if run_regions > regions + REGIONS_UNDER_WAY * faults:
        wrong.append(f"{run_regions} regions were heard where {regions} and {REGIONS_UNDER_WAY * faults} would do")
    return wrong


def done_again(completed: Collection[str], run: Run, meant: Collection[str] = ()) -> list[str]:
    """Stages that were completed and whole, and were run again all the same."""
    return [
        f"{stage} was completed, and was run again"
        for stage in run.stages("stage_started")
        if stage in completed and stage not in meant
    ]
