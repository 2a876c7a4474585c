"""The lock files: how they are made, and how they are read.

`./bootstrap.sh lock` (which needs uv) resolves what pyproject.toml asks for, once for all platforms and Pythons, writes
every file's hash, and then makes sure that each platform can have all of it as wheels.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stemscribe.environments.diagnosis import telling_line
from stemscribe.environments.interpreter import SUPPORTED, dotted
from stemscribe.environments.profile import CORE, TESTS
from stemscribe.environments.tool import ToolFailed, ToolRunner
from stemscribe.errors import EnvironmentBroken

# The oldest systems that all packages have wheels for; docs/decisions/0001-environments.md says how that was found.
PLATFORMS = {
    "x86_64-manylinux_2_28": "Linux x86-64, glibc 2.28",
    "aarch64-manylinux_2_35": "Linux aarch64, glibc 2.35",
    "aarch64-apple-darwin": "macOS 14, Apple silicon",
    "x86_64-apple-darwin": "macOS 14, Intel",
    "x86_64-pc-windows-msvc": "Windows x86-64",
}
MACOS_RELEASE = "14.0"
HEADER = """\
# Every package of venv/{name}, with its hashes, for all platforms and Pythons that stemscribe supports.
# Made from pyproject.toml and the .in files beside it by `./bootstrap.sh lock` (`--upgrade` takes newer versions).
"""


@dataclass(frozen=True)
class Pin:
    """One requirement of a lock file: a version, the marker that says where it holds, and its files' hashes."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]


def pins(lock: str) -> Iterator[Pin]:
    """The requirements in the text of a lock file.

    Raises:
        ValueError: a line is no pinned requirement.
    """
    for line in lock.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+)\s*(?:;\s*(.+))?", requirement)
        if match is None:
            raise ValueError(f"not a pinned requirement: {line.strip()}")
        yield Pin(match[1], match[2], match[3] or "", tuple(hashes))


def relock(
    root: Path,
    environ: Mapping[str, str],
    *,
    upgrade: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
    which: Callable[[str], str | None] = shutil.which,
) -> None:
    """Write `requirements/core.txt` and `requirements/tests.txt` anew.

    Versions that still satisfy pyproject.toml stay, unless `upgrade`. The tests' lock holds the core's versions, and
    some packages more. A lock that some platform could not have as wheels does not replace the old one.

    Raises:
        EnvironmentBroken: uv is missing or failed, or a platform lacks a wheel.
    """
    uv = which("uv")
    if uv is None:
        raise EnvironmentBroken("Locking needs uv, and there is none on the PATH.", hint="Run `pip install uv`.")
    folder = root / "requirements"
    log = root / "venv" / "lock.log"
    log.parent.mkdir(exist_ok=True)
    tool = ToolRunner(log, {**environ, "MACOSX_DEPLOYMENT_TARGET": MACOS_RELEASE}, lambda line: None)
    with _draft(folder / "core.txt") as core, _draft(folder / "tests.txt") as tests:
        refresh = ["--upgrade"] if upgrade else []
        _resolve(tool, uv, root, core, *refresh)
        _resolve(tool, uv, root, tests, *refresh, "--extra", "tests", "--constraint", str(core))
        for platform, in_words in PLATFORMS.items():
            _check_wheels(tool, uv, tests, platform, in_words)
            tell(f"{in_words}: wheels for everything.")
        for name, draft in ((CORE, core), (TESTS, tests)):
            draft.write_text(HEADER.format(name=name) + draft.read_text(encoding="utf-8"), encoding="utf-8")
            draft.replace(folder / f"{name}.txt")


@contextmanager
def _draft(lock: Path) -> Iterator[Path]:
    """A copy of a lock, for uv to start from: it keeps the versions that it finds where it can."""
    draft = lock.with_name(f".{lock.name}.part")
    draft.write_text(lock.read_text(encoding="utf-8") if lock.is_file() else "", encoding="utf-8")
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _resolve(tool: ToolRunner, uv: str, root: Path, draft: Path, *arguments: str) -> None:
    """Let uv write the draft of a lock that holds on all platforms and Pythons."""
    folder = root / "requirements"
    sources = [str(root / "pyproject.toml"), str(folder / "build.in"), "--constraint", str(folder / "constraints.in")]
    form = ["--universal", "--python-version", dotted(SUPPORTED[0]), "--generate-hashes"]
    plain = ["--no-emit-index-url", "--no-annotate", "--no-header", "--no-python-downloads", "--quiet"]
    try:
        tool.run(uv, "pip", "compile", *sources, *form, *plain, *arguments, "--output-file", str(draft))
    except ToolFailed as error:
        raise EnvironmentBroken(
            f"The requirements cannot be locked: {telling_line(error.output)}.", hint=f"{tool.log} has the whole story."
        ) from error


def _check_wheels(tool: ToolRunner, uv: str, lock: Path, platform: str, in_words: str) -> None:
    for minor in SUPPORTED:
        target = ["--python-platform", platform, "--python-version", dotted(minor), "--no-python-downloads"]
        try:
            tool.run(uv, "pip", "compile", "--only-binary", ":all:", "--quiet", *target, str(lock))
        except ToolFailed as error:
            raise EnvironmentBroken(
                f"The new lock was not kept: {in_words} with Python {dotted(minor)} cannot have all of it as wheels.",
                hint=f"Constrain the package in requirements/constraints.in; {tool.log} names it.",
            ) from error
