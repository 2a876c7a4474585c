"""The files by which an environment is known as ours, and as proven.

The claim is the first thing that is written into an environment; it names the folder that the environment was made
in, because a copy of it elsewhere still calls the original, and below that the recipe that it is made from. The
marker is the last thing that is written, and the first that is removed from an environment that is about to change:
where it lies, nothing was interrupted.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from stemscribe.environments.interpreter import is_there

MARKER_NAME = "stemscribe-environment.json"
CLAIM_NAME = "stemscribe-location.txt"


@dataclass(frozen=True)
class Marker:
    """What was proven.

    Attributes:
        profile: the name of the recipe.
        digest: what the packages depend on, see `EnvironmentProfile.digest`.
        project_digest: what the installed project depends on.
        python: the version that it was proven with.
        installer: what installed the packages.
        versions: the version of each distribution that was proven.
    """

    profile: str
    digest: str
    project_digest: str
    python: str
    installer: str
    versions: dict[str, str]


def read_marker(venv: Path) -> Marker | None:
    """The marker of an environment, or `None` when it has none that can be understood."""
    try:
        return Marker(**json.loads((venv / MARKER_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_marker(venv: Path, marker: Marker) -> None:
    """Leave the marker in an environment: whole, on the disk, or not at all."""
    temporary = venv / f".{MARKER_NAME}.part"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(asdict(marker), file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(venv / MARKER_NAME)


def remove_marker(venv: Path) -> None:
    """Take the marker from an environment that is about to change."""
    (venv / MARKER_NAME).unlink(missing_ok=True)


def written_at(venv: Path) -> float:
    """When the marker of an environment was written, in seconds since 1970; 0 where there is none."""
    try:
        return (venv / MARKER_NAME).stat().st_mtime
    except OSError:
        return 0.0


def claim(venv: Path, profile: str = "", *, as_if_in: Path | None = None) -> None:
    """Note in an environment's folder where it is made, or which folder it is going to be renamed to, and from which
    recipe.
    """
    (venv / CLAIM_NAME).write_text(f"{(as_if_in or venv).resolve()}\n{profile}\n", encoding="utf-8")


def is_claimed(venv: Path, *, as_if_in: Path | None = None) -> bool:
    """Whether what lies in a folder was made by us, and in this very place (or for the place `as_if_in`)."""
    return claimed_place(venv) == str((as_if_in or venv).resolve())


def claimed_place(venv: Path) -> str:
    """The folder that an environment's claim names; empty where it has no claim."""
    return _claim(venv)[0]


def made_from(venv: Path) -> str:
    """The name of the recipe that an environment was made from, or is being made from; empty where nobody knows."""
    marker = read_marker(venv)
    return marker.profile if marker is not None else _claim(venv)[1]


def is_made_by_hand(venv: Path) -> bool:
    """Whether there is an environment that was not made by us at all."""
    return is_there(venv / "pyvenv.cfg") and not is_there(venv / CLAIM_NAME)


def _claim(venv: Path) -> tuple[str, str]:
    try:
        lines = (venv / CLAIM_NAME).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        lines = []
    place, profile = [*lines, "", ""][:2]  # a claim need not name the recipe
    return place, profile
