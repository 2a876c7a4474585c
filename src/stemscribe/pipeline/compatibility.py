"""The compatibility table, measured: combinations of torch and its companions, built and made to work one by one.

No row without a run. Each environment is installed into a temporary folder, asked to save a sound with
`torchaudio.save`, asked to separate a window for our own writer, examined by the doctor's rules, and deleted.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from ctypes.util import find_library
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path

import msgspec

from stemscribe.environments.facts import HostFacts, look
from stemscribe.environments.installed import versions
from stemscribe.environments.interpreter import base_of, dotted, examine, python_in
from stemscribe.environments.profile import DEMUCS, EnvironmentProfile
from stemscribe.environments.requirements import PLATFORMS, base_locks, check_wheels, lock_tool, torch_locks
from stemscribe.environments.rules import findings
from stemscribe.environments.tool import ToolFailed, ToolRunner
from stemscribe.errors import EnvironmentBroken, RecordError, StemscribeError
from stemscribe.models.store import ModelStore
from stemscribe.pipeline.doctor import look_at_host
from stemscribe.pipeline.golden import golden_task
from stemscribe.records import read_record, write_record
from stemscribe.toml import parse_toml

WATCHED = ("torch", "torchaudio", "torchcodec", "demucs", "soundfile", "numpy")
WORKS = "works"
_SAVE_SECONDS = 300.0

# Half a second of silence through torchaudio's own writer, and its header read back by nobody of ours.
_SAVE = """
import pathlib, sys, torch, torchaudio
path = pathlib.Path(sys.argv[1])
torchaudio.save(str(path), torch.zeros(2, 22050), 44100)
header = path.read_bytes()[:12]
assert header[:4] == b"RIFF" and header[8:] == b"WAVE", header
"""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A combination to try.

    Attributes:
        name: what to call it.
        why: why it is in the table.
        requirements: what is installed, as pip takes it.
        ffmpeg: whether it is about a system with FFmpeg's shared libraries, or one without.
    """

    name: str
    why: str
    requirements: tuple[str, ...]
    ffmpeg: bool


@dataclass(frozen=True)
class Trial:
    """What became of a row.

    Attributes:
        date: of the run.
        python: its version.
        platform: of the machine.
        installed: versions by distribution, of those that matter here and are there.
        gigabytes: what the environment takes on the disk.
        torchaudio_save: `works`, or what it raises.
        stems: `works`, or why the torch engine and our writer do not.
        runtime: what computed them.
        remarks: what the doctor says: rules by name, with their sentence.
    """

    name: str
    why: str
    date: str
    python: str
    platform: str
    ffmpeg: bool
    installed: dict[str, str]
    gigabytes: float
    torchaudio_save: str
    stems: str
    runtime: str
    remarks: dict[str, str]


@dataclass(frozen=True)
class Resolution:
    """Whether a lock can be had as wheels somewhere: by Python, `wheels` or why not."""

    lock: str
    platform: str
    pythons: dict[str, str]


@dataclass(frozen=True)
class Matrix:
    """The whole table."""

    trials: tuple[Trial, ...] = ()
    resolutions: tuple[Resolution, ...] = ()
    resolved: str = ""


def rows() -> tuple[Row, ...]:
    """The combinations to try."""
    document = parse_toml(files(__package__).joinpath("compatibility.toml").read_text(encoding="utf-8"))
    return msgspec.convert(document["rows"], tuple[Row, ...])


def measure(
    path: Path, root: Path, models: ModelStore, environ: Mapping[str, str], tell: Callable[[str], None]
) -> Matrix:
    """Run every row that can be run here, and write the table after each; results of other runs stay.

    Args:
        path: the JSON file of the table.
        root: the project's folder.
        models: nothing is fetched.
        environ: the user's environment variables.
        tell: called with a sentence at every turn.

    Raises:
        StorageError: the table cannot be written.
        EnvironmentBroken: uv, which resolves the locks, is missing.
    """
    try:
        matrix = read_record(path, Matrix)
    except RecordError:
        matrix = Matrix()
    ffmpeg, host = find_library("avutil") is not None, look_at_host(models, path.parent, ())
    for row in rows():
        if row.ffmpeg != ffmpeg:
            tell(f"{row.name}: not run, FFmpeg's libraries are {'there' if ffmpeg else 'not there'}.")
            continue
        tell(f"{row.name}: building it...")
        trial = _try(row, models, environ, host)
        tell(f"{row.name}: torchaudio.save {trial.torchaudio_save}; stemscribe {trial.stems}.")
        matrix = _with(matrix, trial)
        write_record(path, matrix)
    matrix = Matrix(matrix.trials, tuple(_resolutions(root, environ)), _today())
    write_record(path, matrix)
    return matrix


def _with(matrix: Matrix, trial: Trial) -> Matrix:
    """The table with a row's result, in the order of the rows."""
    known = {each.name: each for each in matrix.trials} | {trial.name: trial}
    ordered = tuple(known[row.name] for row in rows() if row.name in known)
    return Matrix(ordered, matrix.resolutions, matrix.resolved)


def _try(row: Row, models: ModelStore, environ: Mapping[str, str], host: HostFacts) -> Trial:
    with tempfile.TemporaryDirectory(prefix="stemscribe-") as place:
        venv = Path(place) / DEMUCS
        tool = ToolRunner(Path(place) / "install.log", environ, lambda line: None)
        try:
            _install(venv, row, tool)
        except ToolFailed as failure:
            raise EnvironmentBroken(
                f"{row.name} cannot be installed: {failure.output.strip().splitlines()[-1]}",
                hint="Check the network, and the package index.",
            ) from failure
        stems, runtime = _golden(venv, models)
        python = examine(python_in(venv))
        return Trial(
            name=row.name,
            why=row.why,
            date=_today(),
            python=dotted(python.version) if python else "",
            platform=f"{platform.system()} {platform.machine()}",
            ffmpeg=row.ffmpeg,
            installed={name: version for name, version in versions(venv, WATCHED).items() if version},
            gigabytes=round(_size(venv) / 1e9, 1),
            torchaudio_save=_save(venv, Path(place) / "silence.wav"),
            stems=stems,
            runtime=runtime,
            remarks=_remarks(venv, environ, host),
        )


def _install(venv: Path, row: Row, tool: ToolRunner) -> None:
    """With pip, as one would by hand."""
    base = base_of(Path(sys.prefix), Path(sys.executable), sys.version_info[:2])
    tool.run(str(base), "-I", "-m", "venv", str(venv))
    tool.run(str(python_in(venv)), "-I", "-m", "pip", "install", "--no-input", *row.requirements)


def _golden(venv: Path, models: ModelStore) -> tuple[str, str]:
    """Whether the torch engine and our writer work there, and on what."""
    try:
        return WORKS, golden_task(DEMUCS, venv, models, "cpu").runtime
    except StemscribeError as error:
        return error.message, ""


def _save(venv: Path, path: Path) -> str:
    """Whether torchaudio can save there."""
    command = [str(python_in(venv)), "-I", "-c", _SAVE, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=_SAVE_SECONDS)
    except subprocess.TimeoutExpired:
        return "did not end"
    if done.returncode == 0:
        return WORKS
    said = [line for line in done.stderr.splitlines() if line and not line[0].isspace()]
    errors = [line for line in said if line.partition(":")[0].endswith(("Error", "Exception"))]
    reason = (errors or said or ["nothing that it tells"])[-1].replace(str(path), path.name)
    return "raises " + " ".join(reason.split()).removesuffix(" Likely causes:").rstrip(".")


def _remarks(venv: Path, environ: Mapping[str, str], host: HostFacts) -> dict[str, str]:
    """What the doctor's rules say of it, but that it was made by hand."""
    lock = venv / "no-lock.txt"
    lock.touch()
    modules = (("torch", "torch"), ("demucs", "demucs.htdemucs"))
    profile = EnvironmentProfile("by hand", lock, modules, environment=DEMUCS)
    facts = look(DEMUCS, venv, profile, environ)
    return {each.rule: each.what for each in findings(facts, host) if each.rule != "made-by-hand"}


def _resolutions(root: Path, environ: Mapping[str, str]) -> Iterator[Resolution]:
    """Whether each lock can be had as wheels on each platform that it is for."""
    uv = shutil.which("uv")
    if uv is None:
        raise EnvironmentBroken("The platforms are resolved by uv, and there is none on the PATH.", hint="Install uv.")
    with tempfile.TemporaryDirectory(prefix="stemscribe-") as place:
        tool = lock_tool(Path(place) / "resolve.log", environ)
        for lock in (base_locks(root)[0], *torch_locks(root)):
            for target, in_words in PLATFORMS.items():
                pythons = {}
                for minor in lock.pythons:
                    if target not in lock.platforms:
                        pythons[dotted(minor)] = "no wheels of PyTorch"
                        continue
                    try:
                        check_wheels(tool, uv, lock, lock.path, target, minor)
                        pythons[dotted(minor)] = "wheels"
                    except EnvironmentBroken:
                        pythons[dotted(minor)] = "not all as wheels"
                yield Resolution(lock.path.stem, in_words, pythons)


def _size(folder: Path) -> int:
    return sum(os.lstat(path).st_size for path in folder.rglob("*") if not path.is_dir())


def _today() -> str:
    return datetime.now(timezone.utc).date().isoformat()
