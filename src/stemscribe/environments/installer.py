"""The two ways to fill an environment: uv, which is fast, and pip, which every Python has.

Both install the same locked files with the same hashes, wheels only: what has no wheel for a platform fails at once and
by name, not in the middle of a compilation. The exceptions are named in profiles.toml, and pure Python.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
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

    def install(self, venv: Path, requirements: Path, tool: ToolRunner, *, alone: bool = True) -> None:
        """Install what the locked requirements name, from wheels, each file with its hash checked.

        Args:
            venv: the environment.
            requirements: the lock, or a part of it.
            tool: runs the installer.
            alone: whether what they do not name may go.
        """

    def build(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        """Install packages that exist as source only, with hashes; what builds them is in the environment already."""

    def reinstall(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        """Install anew what is there already and was damaged."""

    def install_from(
        self, venv: Path, index: str, requirements: Sequence[str], tool: ToolRunner, *, again: bool = False
    ) -> None:
        """Install wheels of exact versions from another index, and nothing that they ask for.

        Args:
            venv: the environment.
            index: the address of the index.
            requirements: names and versions.
            tool: runs the installer.
            again: whether to install anew what is there already and was damaged.
        """

    def install_project(self, venv: Path, project: Path, tool: ToolRunner) -> None:
        """Install the project in place. Its build backend is in the lock, so that no network is needed."""


WHEELS_WITH_HASHES = ("--require-hashes", "--only-binary", ":all:")


@dataclass(frozen=True)
class Pip:
    """`venv` and `pip`, as they come with Python.

    pip leaves what the lock no longer names; nothing imports it.
    """

    name: str = "pip"

    def create(self, venv: Path, python: Interpreter, tool: ToolRunner) -> None:
        tool.run(str(python.path), "-I", "-m", "venv", str(venv))

    def install(self, venv: Path, requirements: Path, tool: ToolRunner, *, alone: bool = True) -> None:
        self._pip(venv, tool, *WHEELS_WITH_HASHES, "--requirement", str(requirements))

    def build(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        # Without the option, a pip of before 23.1 would call setup.py itself, and want the package `wheel` for it.
        how = ["--require-hashes", "--no-build-isolation", "--use-pep517"]
        self._pip(venv, tool, *how, "--requirement", str(requirements))

    def reinstall(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        how = ["--force-reinstall", "--require-hashes", "--no-build-isolation"]
        self._pip(venv, tool, *how, "--requirement", str(requirements))

    def install_from(
        self, venv: Path, index: str, requirements: Sequence[str], tool: ToolRunner, *, again: bool = False
    ) -> None:
        how = ["--force-reinstall"] if again else []
        self._pip(venv, tool, *how, "--only-binary", ":all:", "--index-url", index, *requirements)

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

    def install(self, venv: Path, requirements: Path, tool: ToolRunner, *, alone: bool = True) -> None:
        if alone:
            self._uv("sync", venv, tool, *WHEELS_WITH_HASHES, str(requirements))
        else:
            self._uv("install", venv, tool, "--no-deps", *WHEELS_WITH_HASHES, "--requirement", str(requirements))

    def build(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        how = ["--no-deps", "--require-hashes", "--no-build-isolation"]
        self._uv("install", venv, tool, *how, "--requirement", str(requirements))

    def reinstall(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        how = ["--reinstall", "--no-deps", "--require-hashes", "--no-build-isolation"]
        self._uv("install", venv, tool, *how, "--requirement", str(requirements))

    def install_from(
        self, venv: Path, index: str, requirements: Sequence[str], tool: ToolRunner, *, again: bool = False
    ) -> None:
        how = ["--reinstall"] if again else []
        how += ["--no-deps", "--only-binary", ":all:", "--index-url", index]
        self._uv("install", venv, tool, *how, *requirements)

    def install_project(self, venv: Path, project: Path, tool: ToolRunner) -> None:
        alone = ["--no-deps", "--no-index", "--no-build-isolation"]
        self._uv("install", venv, tool, *alone, "--editable", str(project))

    def _uv(self, command: str, venv: Path, tool: ToolRunner, *arguments: str) -> None:
        tool.run(self.path, "pip", command, "--python", str(python_in(venv)), *arguments)


def best_installer(which: Callable[[str], str | None] = shutil.which) -> Installer:
    """The fastest installer that is there: uv when it is on the PATH, else pip."""
    uv = which("uv")
    return Uv(uv) if uv else Pip()
