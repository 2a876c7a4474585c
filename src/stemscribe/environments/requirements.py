"""The lock files: how they are made, and how they are read.

`./bootstrap.sh lock` (which needs uv) resolves what pyproject.toml and requirements-demucs.txt ask for, once for all
platforms and Pythons, writes every file's hash, and then makes sure that each platform can have all of it as wheels.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from stemscribe.environments.diagnosis import telling_line
from stemscribe.environments.interpreter import SUPPORTED, dotted, in_words
from stemscribe.environments.profile import DEMUCS, read_recipes, torch_profiles
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
# What a recipe calls a platform -> what uv calls it.
UV_PLATFORMS = {
    "linux-x86_64": "x86_64-manylinux_2_28",
    "linux-aarch64": "aarch64-manylinux_2_35",
    "darwin-arm64": "aarch64-apple-darwin",
    "win32-AMD64": "x86_64-pc-windows-msvc",
}
HEADER = """\
# Every package of {holds}, with its hashes, for all platforms and Pythons that it supports.
# Made from pyproject.toml, requirements-demucs.txt and the .in files beside it by `./bootstrap.sh lock`
# (`--upgrade` takes newer versions).
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


def select(lock: str, wanted: Callable[[str], bool]) -> str:
    """The part of a lock file whose distributions are wanted, hashes and all."""
    lines: list[str] = []
    keep = False
    for line in lock.splitlines():
        if not line.startswith((" ", "#")):
            keep = wanted(line.partition("==")[0])
        if keep:
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class Lock:
    """A lock file, and what it is made from.

    Attributes:
        path: where it is.
        holds: what it is the lock of, for its first line.
        sources: files that say what is wanted.
        options: further arguments of uv.
        pythons: what it must hold for.
        platforms: where all of it must exist as wheels, as uv names them.
        built: distributions that are allowed to exist as source only.
    """

    path: Path
    holds: str
    sources: tuple[Path, ...]
    options: tuple[str, ...] = ()
    pythons: tuple[tuple[int, int], ...] = SUPPORTED
    platforms: tuple[str, ...] = tuple(PLATFORMS)
    built: tuple[str, ...] = ()


def base_locks(root: Path) -> tuple[Lock, Lock]:
    """The locks of `venv/core` and `venv/tests`, in the order in which they have to be made."""
    folder = root / "requirements"
    sources = (root / "pyproject.toml", folder / "build.in")
    options = ("--constraint", str(folder / "constraints.in"), "--extra", "studio")
    core = Lock(folder / "core.txt", "venv/core", sources, options)
    # The tests' lock holds the core's versions; `draft` is where they are when it is made.
    of_core = ("--constraint", str(draft(core.path)))
    return core, Lock(folder / "tests.txt", "venv/tests", sources, (*options, "--extra", "tests", *of_core))


def torch_locks(root: Path) -> tuple[Lock, ...]:
    """The locks of the recipes for `venv/demucs`.

    Raises:
        ImportError: see `profile.torch_profiles`.
    """
    recipes, tables = torch_profiles(root), read_recipes()[DEMUCS]
    return tuple(
        Lock(
            path=recipe.requirements,
            holds=f"venv/demucs, profile {name}",
            sources=tuple(root / source for source in tables[name]["sources"]),
            options=tuple(part for file in tables[name]["overrides"] for part in ("--override", str(root / file))),
            pythons=recipe.pythons,
            platforms=tuple(UV_PLATFORMS[platform] for platform in recipe.platforms),
            built=recipe.built,
        )
        for name, recipe in recipes.items()
    )


def relock(
    root: Path,
    environ: Mapping[str, str],
    *,
    upgrade: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
    which: Callable[[str], str | None] = shutil.which,
) -> None:
    """Write the locks in `requirements/` anew.

    Versions that still satisfy what is asked for stay, unless `upgrade`. Locks that some platform could not have as
    wheels do not replace the old ones.

    Raises:
        EnvironmentBroken: uv is missing or failed, or a platform lacks a wheel.
    """
    uv = which("uv")
    if uv is None:
        raise EnvironmentBroken("Locking needs uv, and there is none on the PATH.", hint="Run `pip install uv`.")
    tool = lock_tool(root / "venv" / "lock.log", environ)
    locks = [*base_locks(root), *torch_locks(root)]
    with ExitStack() as drafts:
        for lock in locks:
            drafts.enter_context(_drafted(lock.path))
        for lock in locks:
            _resolve(tool, uv, lock, *(["--upgrade"] if upgrade else []))
            for platform in lock.platforms:
                for minor in lock.pythons:
                    check_wheels(tool, uv, lock, draft(lock.path), platform, minor)
            tell(f"{lock.holds}: wheels for {len(lock.platforms)} platforms, Python {in_words(lock.pythons)}.")
        for lock in locks:
            text = draft(lock.path).read_text(encoding="utf-8")
            draft(lock.path).write_text(HEADER.format(holds=lock.holds) + text, encoding="utf-8")
        for lock in locks:
            draft(lock.path).replace(lock.path)


def lock_tool(log: Path, environ: Mapping[str, str]) -> ToolRunner:
    """What runs uv for `check_wheels`, for the oldest macOS that counts."""
    log.parent.mkdir(exist_ok=True)
    return ToolRunner(log, {**environ, "MACOSX_DEPLOYMENT_TARGET": MACOS_RELEASE}, lambda line: None)


def draft(lock: Path) -> Path:
    """Where a lock is written to, until it is kept."""
    return lock.with_name(f".{lock.name}.part")


@contextmanager
def _drafted(lock: Path) -> Iterator[None]:
    """A copy of a lock, for uv to start from: it keeps the versions that it finds where it can."""
    copy = draft(lock)
    copy.write_text(lock.read_text(encoding="utf-8") if lock.is_file() else "", encoding="utf-8")
    try:
        yield
    finally:
        copy.unlink(missing_ok=True)


def _resolve(tool: ToolRunner, uv: str, lock: Lock, *arguments: str) -> None:
    """Let uv write the draft of a lock that holds on all platforms and Pythons."""
    form = ["--universal", "--python-version", dotted(lock.pythons[0]), "--generate-hashes"]
    plain = ["--no-emit-index-url", "--no-annotate", "--no-header", "--no-python-downloads", "--quiet"]
    sources = [str(source) for source in lock.sources]
    output = ["--output-file", str(draft(lock.path))]
    try:
        tool.run(uv, "pip", "compile", *sources, *lock.options, *form, *plain, *arguments, *output)
    except ToolFailed as error:
        raise EnvironmentBroken(
            f"The requirements of {lock.holds} cannot be locked: {telling_line(error.output)}.",
            hint=f"{tool.log} has the whole story.",
        ) from error


def check_wheels(tool: ToolRunner, uv: str, lock: Lock, path: Path, platform: str, minor: tuple[int, int]) -> None:
    """Make sure that all of a lock but what it names as built exists as wheels.

    Args:
        tool: runs uv.
        uv: its path.
        lock: what is allowed.
        path: the file to look at: the lock, or its draft.
        platform: as uv names it.
        minor: the version of Python.

    Raises:
        EnvironmentBroken: something has no wheel there.
    """
    target = ["--python-platform", platform, "--python-version", dotted(minor), "--no-python-downloads"]
    with TemporaryDirectory() as folder:
        wheels = Path(folder) / lock.path.name
        wheels.write_text(
            select(path.read_text(encoding="utf-8"), lambda name: name not in lock.built), encoding="utf-8"
        )
        try:
            tool.run(uv, "pip", "compile", "--only-binary", ":all:", "--no-deps", "--quiet", *target, str(wheels))
        except ToolFailed as error:
            raise EnvironmentBroken(
                f"{PLATFORMS[platform]} with Python {dotted(minor)} cannot have all of {lock.holds} as wheels, so the "
                "new lock was not kept.",
                hint=f"Constrain the package in an .in file of requirements/; {tool.log} names it.",
            ) from error
