"""One environment in the place of another: whole at any moment, whenever the process is killed.

The new one is built beside the old one. When it works, everything in it that names its place is changed to the place
that it is going to have, and its claim names that place last. Then the old one is renamed, then the new one; then the
old one is removed. Whoever comes after an interruption calls `recover`: where the place is empty, what was renamed
last is finished or taken back.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from stemscribe.environments.installed import site_packages
from stemscribe.environments.interpreter import script_in
from stemscribe.environments.marker import claim, is_claimed, made_from, read_marker, remove_marker


def new_beside(venv: Path) -> Path:
    """Where the environment is built that is going to replace the one in `venv`."""
    return venv.with_name(f".{venv.name}.new")


def old_beside(venv: Path) -> Path:
    """Where the replaced environment is, until it is removed."""
    return venv.with_name(f".{venv.name}.old")


def recover(venv: Path, tell: Callable[[str], None] = lambda sentence: None) -> None:
    """Finish or take back a replacement that was interrupted, and remove what it left behind.

    Args:
        venv: the place of the environment.
        tell: called with a sentence about what cannot be removed.

    Raises:
        OSError: a folder cannot be renamed.
    """
    new, old = new_beside(venv), old_beside(venv)
    if not venv.exists():
        if read_marker(new) is not None and is_claimed(new, as_if_in=venv):
            new.rename(venv)
        elif old.exists():
            old.rename(venv)
    clean_up(old, tell)
    clean_up(new, tell)


def put_in_place(new: Path, venv: Path, tell: Callable[[str], None] = lambda sentence: None) -> None:
    """Let the environment `new`, which is complete and proven, take the place `venv` of another one.

    Args:
        new: the folder of the new one.
        venv: the place.
        tell: called with a sentence when the old one cannot be removed; the new one is in its place then.

    Raises:
        OSError: a folder cannot be renamed; then the old one is where it was.
    """
    old = old_beside(venv)
    relocate(new, venv)
    claim(new, made_from(new), as_if_in=venv)
    if venv.exists():
        venv.rename(old)
    try:
        new.rename(venv)
    except OSError:
        if old.exists():
            old.rename(venv)
        raise
    clean_up(old, tell)


def clean_up(venv: Path, tell: Callable[[str], None]) -> None:
    """Remove an environment that nobody uses; where that cannot be done, it is only told."""
    try:
        remove(venv)
    except OSError as error:
        tell(f"{venv} cannot be removed ({error.strerror or error}: {error.filename}). Nothing uses it: remove it.")


def remove(venv: Path) -> None:
    """Remove an environment; what is left of it when that is interrupted cannot be taken for one that works.

    Folders that may not be read or changed are opened first, which their owner may do.

    Raises:
        OSError: it cannot be removed.
    """
    if not venv.exists():
        return
    try:
        _remove(venv)
    except PermissionError:
        open_up(venv)
        _remove(venv)


def _remove(venv: Path) -> None:
    remove_marker(venv)
    shutil.rmtree(venv)


def open_up(venv: Path) -> None:
    """Let the owner read and change all folders of an environment, as far as that is possible.

    On Windows its files too, which cannot be removed there while they are read-only.
    """
    _permit(venv)
    for place, folders, files in os.walk(venv):  # each is opened before it is entered
        for name in [*folders, *(files if os.name == "nt" else ())]:
            _permit(Path(place, name))


def _permit(path: Path) -> None:
    try:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)
    except OSError:
        return  # what cannot be opened shows when it is removed


def relocate(venv: Path, place: Path) -> None:
    """Change what in an environment names its folder, so that it can be renamed to `place`, beside it.

    That are the first lines of its programs, its activation scripts, and `pyvenv.cfg`. The sizes and hashes that
    installers recorded of them are changed with them. On Windows programs keep the old place; stemscribe calls none of
    them there.
    """
    changed = set()
    for file in [venv / "pyvenv.cfg", *script_in(venv, "python").parent.iterdir()]:
        if file.is_symlink() or not file.is_file() or file.suffix == ".exe":
            continue
        content = file.read_bytes()
        if os.fsencode(venv.name) in content:
            file.write_bytes(content.replace(os.fsencode(venv.name), os.fsencode(place.name)))
            changed.add(os.path.realpath(file))
    site = site_packages(venv)
    for record in site.glob("*.dist-info/RECORD"):
        _correct(record, site, changed)


def _correct(record: Path, site: Path, changed: set[str]) -> None:
    """Bring the entries of changed files in a RECORD up to date."""
    text = record.read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(text)))
    outside = [row for row in rows if row and row[0].startswith("..")]
    stale = [row for row in outside if os.path.realpath(site / row[0]) in changed]
    if not stale:
        return
    for row in stale:
        content = (site / row[0]).read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        row[1:] = [f"sha256={digest}", str(len(content))]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    record.write_text(buffer.getvalue(), encoding="utf-8")
