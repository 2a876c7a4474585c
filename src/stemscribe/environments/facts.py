"""What is known of an environment and of the machine: records for the rules to judge, and the look that fills them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemscribe.environments.drift import Drift, drifted
from stemscribe.environments.installed import site_packages
from stemscribe.environments.interpreter import base_of, examine, is_there, python_in
from stemscribe.environments.marker import claimed_place, is_claimed, made_from, read_marker, written_at
from stemscribe.environments.profile import EnvironmentProfile
from stemscribe.environments.tool import led_right

INSPECTION = Path(__file__).with_name("inspection.py")  # run there, never imported here
INSPECTION_TIMEOUT_SECONDS = 900.0

# What is looked at beside the modules of a profile, where it is installed: what torch breaks with, and on.
COMPANIONS = {"torchaudio": "torchaudio", "torchcodec": "torchcodec", "soundfile": "soundfile"}


@dataclass(frozen=True)
class ModuleFacts:
    """How the import of a module went.

    Attributes:
        version: its own word; empty where it says nothing.
        file: where it was loaded from; empty for a folder without code.
        error: why it cannot be imported; empty when it can.
        foreign: whether it was loaded from elsewhere than from the distribution that should bring it.
    """

    version: str = ""
    file: str = ""
    error: str = ""
    foreign: bool = False


@dataclass(frozen=True)
class TorchFacts:
    """What torch was built for, and what it can use here.

    Attributes:
        version: with the suffix of its build, as in `2.5.1+cu124`.
        cuda_build: the CUDA release that it was built for; empty for a build without.
        cuda_error: what it says when CUDA is asked for and does not work.
        mps_error: what it says when the arithmetic of HTDemucs is tried on Apple's GPU.
        numpy_error: what it says when an array is handed to NumPy.
        error: why all of this could not be asked.
    """

    version: str = ""
    cuda_build: str = ""
    cuda_available: bool = False
    cuda_error: str = ""
    devices: tuple[str, ...] = ()
    mps_built: bool = False
    mps_available: bool = False
    mps_error: str = ""
    numpy_error: str = ""
    cxx11_abi: bool = False
    error: str = ""


@dataclass(frozen=True)
class EnvironmentFacts:
    """An environment as it was found.

    Attributes:
        required: the modules that the environment is for.
        is_there: whether its folder holds an environment, or what is left of one.
        interpreter: what is wrong with its Python; empty when it starts.
        lost_home: the folder of the Python that it was made with, where that has vanished.
        made_at: where its claim says that it was made; empty when it has no claim: it was made by hand.
        is_at_home: whether that is the place where it lies.
        is_proven: whether its marker is there, which is written last.
        proven_at: when that was written, in seconds since 1970; 0 where there is none.
        closed: a folder of it that may not be read, so that nothing more can be seen.
        distributions: versions by normalised name.
        repeated: the versions of distributions that are there more than once.
        damaged, unreadable: by distribution, the first file that is not whole, or may not be read.
        backends: what torchaudio can write with; `None` where it has no such list.
        ffmpeg: which of FFmpeg's libraries the system has.
        inspection_error: why the environment could not be looked into.
    """

    name: str
    path: Path
    required: tuple[str, ...] = ()
    is_there: bool = True
    interpreter: str = ""
    lost_home: str = ""
    made_at: str = ""
    is_at_home: bool = True
    is_proven: bool = True
    proven_at: float = 0.0
    closed: str = ""
    profile: str = ""
    python: str = ""
    distributions: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, tuple[str, ...]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    drifted: tuple[Drift, ...] = ()
    modules: dict[str, ModuleFacts] = field(default_factory=dict)
    torch: TorchFacts | None = None
    backends: tuple[str, ...] | None = None
    ffmpeg: tuple[str, ...] = ()
    inspection_error: str = ""

    def error(self, module: str) -> str:
        """Why a module cannot be imported; empty when it can, or was not tried."""
        return self.modules.get(module, ModuleFacts()).error


@dataclass(frozen=True)
class ModelFacts:
    """A model that jobs need, or that is there.

    Attributes:
        trouble: empty, `missing` or `damaged`.
        files: the files that are.
        needs_npm: whether one of them comes inside an npm package.
    """

    name: str
    trouble: str = ""
    files: tuple[str, ...] = ()
    needs_npm: bool = False


@dataclass(frozen=True)
class FolderFacts:
    """A folder that is written to.

    Attributes:
        role: what it is for, as in `the out folder`.
        option: how another one is chosen.
        free: bytes that are left on its disk.
        refusal: why it cannot be written; empty when it can.
    """

    role: str
    path: Path
    option: str
    free: int
    refusal: str = ""


@dataclass(frozen=True)
class HostFacts:
    """The machine as it was found.

    Attributes:
        driver: the version of NVIDIA's driver; empty when there is none.
        gpus: the names of the GPUs that it knows.
        has_nvidia_device: whether there is a graphics card of NVIDIA's, with a driver or without.
        npm: whether the npm client is there.
        folders: those that are written to.
        models: those that jobs need, or that are there.
    """

    driver: str = ""
    gpus: tuple[str, ...] = ()
    has_nvidia_device: bool = False
    npm: bool = True
    folders: tuple[FolderFacts, ...] = ()
    models: tuple[ModelFacts, ...] = ()


def profile_for(venv: Path, candidates: Sequence[EnvironmentProfile]) -> EnvironmentProfile:
    """The recipe that an environment is held against: its own, else the first that fits its Python, or this one.

    Args:
        venv: the environment's folder.
        candidates: the recipes for it, the preferred one first.
    """
    own = [profile for profile in candidates if profile.name == made_from(venv)]
    python = examine(python_in(venv)) or examine(Path(sys.executable))
    fitting = [profile for profile in candidates if python is not None and profile.fits(python)]
    return next(iter([*own, *fitting, *candidates]))


def look(name: str, venv: Path, profile: EnvironmentProfile, environ: Mapping[str, str]) -> EnvironmentFacts:
    """Everything that can be found out about an environment; it takes a few seconds where torch is in it.

    Args:
        name: of the environment.
        venv: its folder.
        profile: the recipe that it is held against.
        environ: the user's environment variables.
    """
    required = tuple(module for _, module in profile.modules)
    try:
        holds_something = any(venv.iterdir())
    except PermissionError:
        return EnvironmentFacts(name, venv, required, closed=str(venv), is_at_home=False, is_proven=False)
    except OSError:
        holds_something = False
    if not holds_something:
        return EnvironmentFacts(name, venv, required, is_there=False, is_proven=False)
    marker = read_marker(venv)
    seen: dict[str, Any] = {
        "name": name,
        "path": venv,
        "required": required,
        "lost_home": _lost_home(venv),
        "made_at": claimed_place(venv),
        "is_at_home": is_claimed(venv),
        "is_proven": marker is not None,
        "proven_at": written_at(venv),
        "profile": made_from(venv),
        "interpreter": _interpreter_trouble(venv),
        "closed": _closed(venv),
    }
    if seen["interpreter"] or seen["closed"]:
        return EnvironmentFacts(**seen)
    try:
        found = _inspect(venv, profile, environ)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return EnvironmentFacts(**seen, inspection_error=_last_words(error))
    return EnvironmentFacts(**seen, **_judgeable(found, profile))


def _interpreter_trouble(venv: Path) -> str:
    """What is wrong with an environment's Python, in a few words."""
    python = python_in(venv)
    if is_there(python):
        return "" if examine(python) else f"{python.name} does not start"
    if os.path.islink(python):  # noqa: PTH114 - in a folder that may not be read, `Path.is_symlink` raises
        return f"it leads to {os.path.realpath(python)}, which does not exist"
    return f"{python.relative_to(venv).as_posix()} is missing"


def _lost_home(venv: Path) -> str:
    """The folder that `pyvenv.cfg` names as the Python's home, when it has vanished."""
    python = python_in(venv)
    base = base_of(venv, python, (3, 0))
    if base != python:
        return ""
    try:
        lines = (venv / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    homes = [value.strip() for key, _, value in (line.partition("=") for line in lines) if key.strip() == "home"]
    return next((home for home in homes if not Path(home).is_dir()), "")


def _closed(venv: Path) -> str:
    """The folder on the way to its Python or its packages that may not be read; empty when all may."""
    python = python_in(venv)
    for folder in (python.parent, venv / "lib", site_packages(venv)):
        try:
            with os.scandir(folder) as entries:
                next(entries, None)
            (folder / "x").lstat()
        except PermissionError:
            return folder.relative_to(venv).as_posix()
        except OSError:
            continue
    return ""


def _last_words(error: Exception) -> str:
    """What an inspection that failed said last; the error itself where it said nothing."""
    said = getattr(error, "stderr", None) or b""
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"{type(error).__name__}: {error}"


def _inspect(venv: Path, profile: EnvironmentProfile, environ: Mapping[str, str]) -> dict[str, Any]:
    companions = COMPANIONS if "torch" in dict(profile.modules) else {}
    pairs = [f"{distribution}={module}" for distribution, module in {**dict(profile.modules), **companions}.items()]
    answer = subprocess.run(
        [str(python_in(venv)), "-I", str(INSPECTION), *pairs],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=INSPECTION_TIMEOUT_SECONDS,
        env=led_right(environ),
        cwd=str(venv),
        check=True,
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def _judgeable(found: Mapping[str, Any], profile: EnvironmentProfile) -> dict[str, Any]:
    """The answer of the inspection as fields of `EnvironmentFacts`."""
    required = {module for _, module in profile.modules}
    modules = {name: _module(seen) for name, seen in found["modules"].items()}
    absent = "ModuleNotFoundError: No module named "
    return {
        "python": found["python"]["version"],
        "distributions": found["distributions"],
        "repeated": {name: tuple(versions) for name, versions in found["repeated"].items()},
        "damaged": found["damaged"],
        "unreadable": found["unreadable"],
        "drifted": _drifted(profile, found),
        # What is looked at by the way may be absent.
        "modules": {
            name: facts
            for name, facts in modules.items()
            if name in required or name in found["distributions"] or facts.error != f"{absent}{name!r}"
        },
        "torch": _torch(found["torch"]) if found["torch"] and not modules["torch"].error else None,
        "backends": _tuple((found["torchaudio"] or {}).get("backends")),
        "ffmpeg": tuple(found["ffmpeg"]),
    }


def _module(seen: Mapping[str, Any]) -> ModuleFacts:
    return ModuleFacts(seen.get("version", ""), seen.get("file", ""), seen.get("error", ""), bool(seen.get("foreign")))


def _torch(seen: Mapping[str, Any]) -> TorchFacts:
    return TorchFacts(**{**seen, "devices": tuple(seen.get("devices", ()))})


def _tuple(values: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _drifted(profile: EnvironmentProfile, found: Mapping[str, Any]) -> tuple[Drift, ...]:
    """What the lock names otherwise; nothing where the lock itself cannot be had."""
    try:
        return drifted(profile, found["distributions"], found["markers"])
    except OSError:
        return ()
