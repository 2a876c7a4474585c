"""Which Python an environment is made with.

The Python that runs this module need not be one that stemscribe supports: a Mac's own `python3` is 3.9, and a new Linux
may ship 3.14. What counts is that some supported Python can be found and started.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemscribe.errors import EnvironmentBroken

SUPPORTED: tuple[tuple[int, int], ...] = ((3, 10), (3, 11), (3, 12), (3, 13))
START_TIMEOUT_SECONDS = 30.0

# In plain lines, and without the modules `json` and `platform`: this runs whenever a script is started.
_INTRODUCE = """
import os, sys
print(sys.executable)
print(*sys.version_info[:3])
print(sys.implementation.name)
machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")
print(sys.platform, machine, sep="-")
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python that was started and told us what it is.

    Attributes:
        path: its executable, as it was called; links are not followed.
        version: for example (3, 11, 7).
        implementation: for example `cpython`.
        platform: system and machine, for example `linux-x86_64`.
    """

    path: Path
    version: tuple[int, int, int]
    implementation: str
    platform: str

    @property
    def minor(self) -> tuple[int, int]:
        """The part of the version that compiled packages are bound to."""
        return self.version[:2]

    @property
    def supported(self) -> bool:
        """Whether stemscribe's environments can be made with it."""
        return self.is_one_of(SUPPORTED)

    def is_one_of(self, minors: Sequence[tuple[int, int]]) -> bool:
        """Whether it is CPython of one of these versions."""
        return self.minor in minors and self.implementation == "cpython"

    @property
    def markers(self) -> dict[str, str]:
        """The values of the environment markers (PEP 508) that locks use, under this Python."""
        system, _, machine = self.platform.partition("-")
        return {
            "implementation_name": self.implementation,
            "os_name": "nt" if system == "win32" else "posix",
            "platform_machine": machine,
            "platform_system": {"win32": "Windows"}.get(system, system.capitalize()),
            "python_full_version": dotted(self.version),
            "python_version": dotted(self.minor),
            "sys_platform": system,
        }

    def __str__(self) -> str:
        return f"Python {dotted(self.version)}"


def dotted(version: Sequence[int]) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))


def parse_minor(text: str) -> tuple[int, int]:
    """The version that `3.11` names."""
    major, minor = text.split(".")
    return int(major), int(minor)


def in_words(minors: Sequence[tuple[int, int]]) -> str:
    """Versions as people say them.

    >>> in_words([(3, 9), (3, 10), (3, 11)])
    '3.9 to 3.11'
    """
    return f"{dotted(minors[0])} to {dotted(minors[-1])}"


def python_in(venv: Path) -> Path:
    """Where a virtual environment has its interpreter."""
    return script_in(venv, "python")


def script_in(venv: Path, name: str) -> Path:
    """Where a virtual environment has the program `name`."""
    if os.name == "nt":
        return venv / "Scripts" / f"{name}.exe"
    return venv / "bin" / name


def is_there(path: Path) -> bool:
    """Whether something is at `path`, as far as one may look: in a folder that may not be read there is nothing.

    Before Python 3.14 `Path.exists` raises `PermissionError` there.
    """
    return os.path.exists(path)  # noqa: PTH110 - see above


def examine(path: Path) -> Interpreter | None:
    """What the Python at `path` says of itself, or `None` when it does not start."""
    try:
        answer = subprocess.run(
            [str(path), "-I", "-S", "-X", "utf8", "-c", _INTRODUCE],
            capture_output=True,
            check=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=START_TIMEOUT_SECONDS,
        )
        executable, version, implementation, platform = answer.stdout.splitlines()
        major, minor, patch = map(int, version.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(Path(executable), (major, minor, patch), implementation, platform)


def choose(
    requested: str | None,
    *,
    which: Callable[[str], str | None] = shutil.which,
    minors: Sequence[tuple[int, int]] = SUPPORTED,
) -> Interpreter:
    """The Python to make environments with.

    Args:
        requested: what the user asked for: a path or a name on the PATH. Nothing else is tried then.
        which: finds a program on the PATH.
        minors: the versions that will do.

    Returns:
        The requested one; else the running one, when it will do; else the newest on the PATH that does.

    Raises:
        EnvironmentBroken: there is none; the message says what was found instead.
    """
    if requested:
        return _accepted(requested, which, minors)
    running = running_python()
    if running is not None and running.is_one_of(minors):
        return running
    for minor in reversed(minors):
        path = which(f"python{dotted(minor)}")
        found = examine(Path(path)) if path else None
        if found is not None and found.is_one_of(minors):
            return found
    raise EnvironmentBroken(
        f"stemscribe needs Python {in_words(minors)}; this is Python {dotted(sys.version_info[:3])}, and no "
        f"{', '.join('python' + dotted(minor) for minor in minors)} was found on the PATH.",
        hint="Install one of them, or name one that you have: STEMSCRIBE_PYTHON=/path/to/python3.12 ./bootstrap.sh",
    )


def running_python() -> Interpreter | None:
    """The Python that runs this; where it belongs to a virtual environment, the one that was made with."""
    return examine(base_of(Path(sys.prefix), Path(sys.executable), sys.version_info[:2]))


def _accepted(requested: str, which: Callable[[str], str | None], minors: Sequence[tuple[int, int]]) -> Interpreter:
    path = which(requested)
    found = examine(Path(path)) if path else None
    if found is None:
        raise EnvironmentBroken(
            f"STEMSCRIBE_PYTHON names {requested}, which {'does not start' if path else 'does not exist'}.",
            hint=f"Let it name a Python {in_words(minors)}, or unset it.",
        )
    if not found.is_one_of(minors):
        raise EnvironmentBroken(
            f"STEMSCRIBE_PYTHON names {requested}, which is {found.implementation} {dotted(found.version)}; "
            f"stemscribe needs CPython {in_words(minors)}.",
            hint="Let it name another one, or unset it.",
        )
    return found


def base_of(prefix: Path, executable: Path, minor: tuple[int, int]) -> Path:
    """The Python that a virtual environment was made with; outside of one, `executable` itself.

    An environment may have to be rebuilt by its own interpreter, and must not be made from itself then. `pyvenv.cfg`
    names the folder of its origin; to follow the links of `executable` instead would pin a Homebrew Python to its patch
    release.
    """
    home = _home(prefix / "pyvenv.cfg")
    if home is None:
        return executable
    names = [f"python{dotted(minor)}", "python3", "python", "python.exe"]
    return next((home / name for name in names if is_there(home / name)), executable)


def _home(configuration: Path) -> Path | None:
    """The `home` that a `pyvenv.cfg` names."""
    try:
        lines = configuration.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition("=")
        if key.strip() == "home":
            return Path(value.strip())
    return None
