"""What is installed in an environment, read from its folder without starting its Python."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
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


def digest(venv: Path) -> str:
    """What is installed in an environment, hashed: the same for the same wheels, wherever they were installed.

    Name and version of every distribution count, and what its `RECORD` says of each of its files. Not the distribution
    of stemscribe, which may be installed from its sources, and what the installer adds: scripts, which name the
    folder of the environment, and its notes.

    Returns:
        64 hexadecimal digits.
    """
    hashed = hashlib.sha256()
    try:
        folders = sorted(entry for entry in site_packages(venv).iterdir() if _METADATA.fullmatch(entry.name))
    except OSError:
        folders = []
    for folder in folders:
        if not folder.name.startswith("stemscribe-"):
            hashed.update("\n".join((folder.name, *_recorded(folder))).encode())
    return hashed.hexdigest()


def _recorded(folder: Path) -> Iterator[str]:
    """The lines of a `RECORD` that tell the content of a file that came with the distribution."""
    try:
        lines = (folder / "RECORD").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in sorted(lines):
        if not line.startswith(("../", folder.name)) and ".pyc," not in line:
            yield line


def normalised(name: str) -> str:
    """A distribution's name in the one spelling that counts (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
