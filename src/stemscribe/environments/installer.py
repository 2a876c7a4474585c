"""The two ways to fill an environment: uv, which is fast, and pip, which every Python has.

Both install the same locked files with the same hashes, wheels only: what has no wheel for a platform fails at once and
by name, not in the middle of a compilation.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stemscribe.environments.interpreter import Interpreter, python_in
from stemscribe.environments.tool import ToolRunner


class Installer(Protocol):
    """Fills a virtual environment. Every step can be done again, and then goes on where it was cut off."""

    @property
    def name(self) -> str:
        """What to call it."""

    def create(self, venv: Path, python: Interpreter, tool: ToolRunner) -> None:
        """Make `venv`, or complete it."""

    def install(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        """Install what the locked requirements name, each file with its hash checked."""

    def install_project(self, venv: Path, project: Path, tool: ToolRunner) -> None:
        """Install the project in place. Its build backend is in the lock, so that no network is needed."""


@dataclass(frozen=True)
class Pip:
    """`venv` and `pip`, as they come with Python.

    pip leaves what the lock no longer names; nothing imports it.
    """

    name: str = "pip"

    def create(self, venv: Path, python: Interpreter, tool: ToolRunner) -> None:
        tool.run(str(python.path), "-I", "-m", "venv", str(venv))

    def install(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        self._pip(venv, tool, "--require-hashes", "--only-binary", ":all:", "--requirement", str(requirements))

    def install_project(self, venv: Path, project: Path, tool: ToolRunner) -> None:
        self._pip(venv, tool, "--no-index", "--no-build-isolation", "--editable", str(project))

    def _pip(self, venv: Path, tool: ToolRunner, *arguments: str) -> None:
        quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
        tool.run(str(python_in(venv)), "-I", "-m", "pip", "install", "--no-deps", *quiet, *arguments)


@dataclass(frozen=True)
class Uv:
    """`uv`, where the user has it."""

    path: str
    name: str = "uv"

    def create(self, venv: Path, python: Interpreter, tool: ToolRunner) -> None:
        tool.run(self.path, "venv", "--no-project", "--allow-existing", "--python", str(python.path), str(venv))

    def install(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        into = ["--python", str(python_in(venv))]
        tool.run(self.path, "pip", "sync", "--require-hashes", "--only-binary", ":all:", *into, str(requirements))

    def install_project(self, venv: Path, project: Path, tool: ToolRunner) -> None:
        alone = ["--no-deps", "--no-index", "--no-build-isolation"]
        tool.run(self.path, "pip", "install", *alone, "--python", str(python_in(venv)), "--editable", str(project))


def best_installer(which: Callable[[str], str | None] = shutil.which) -> Installer:
    """The fastest installer that is there: uv when it is on the PATH, else pip."""
    uv = which("uv")
    return Uv(uv) if uv else Pip()
