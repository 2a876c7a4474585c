"""What is installed in an environment, read from its folder without starting its Python."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

MISSING = ""
_METADATA = re.compile(r"(.+)-([^-]+)\.(?:dist|egg)-info")


def site_packages(venv: Path) -> Path:
    """The folder that holds an environment's packages.

    It need not be there; for an environment that has none, it is the one that a Windows environment would have.
    """
    try:
        found = sorted((venv / "lib").glob("python3*/site-packages"))
    except PermissionError:  # raised before Python 3.13
        found = []
    return found[-1] if found else venv / "Lib" / "site-packages"


def versions(venv: Path, names: Sequence[str]) -> dict[str, str]:
    """The version of each of these distributions, by the name that was asked for; empty for one that is missing.

    It reads the names of the metadata folders alone, which takes a millisecond. A folder without a version in its name
    (`-info` of a package that was put there by hand) counts as missing.
    """
    present = all_versions(venv)
    return {name: present.get(normalised(name), MISSING) for name in names}


def all_versions(venv: Path) -> dict[str, str]:
    """The version of every distribution, by normalised name; of two with the same name, the later in the alphabet."""
    try:
        entries = sorted(entry.name for entry in site_packages(venv).iterdir())
    except OSError:
        return {}
    matches = (_METADATA.fullmatch(entry) for entry in entries)
    return {normalised(match[1]): match[2] for match in matches if match}


def normalised(name: str) -> str:
    """A distribution's name in the one spelling that counts (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
