"""Real but tiny environments: an empty lock, or one package that is built here."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import multiprocessing
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stemscribe.environments.installer import Installer, Pip
from stemscribe.environments.interpreter import Interpreter, python_in
from stemscribe.environments.manager import EnvironmentManager
from stemscribe.environments.profile import EnvironmentProfile
from stemscribe.environments.requirements import pins
from stemscribe.environments.tool import ToolRunner

PACKAGE = "tinypackage"


def make_wheel(folder: Path, version: str, source: str = "") -> Path:
    """A wheel of one module, as small as a wheel can be."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{PACKAGE}-{version}.dist-info"
    files = {
        f"{PACKAGE}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for name, text in files.items():
        hashed = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={hashed},{len(text.encode())}\n")
    files[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"])
    wheel = folder / f"{PACKAGE}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


def lock_line(wheel: Path) -> str:
    version = wheel.name.split("-")[1]
    return f"{PACKAGE}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


UNPACK = """
import pathlib, shutil, sys, zipfile
wheel, site = map(pathlib.Path, sys.argv[1:])
for info in site.glob("tinypackage-*.dist-info"):
    if wheel.name.startswith(info.name.removesuffix(".dist-info") + "-"):
        sys.exit(0)
    shutil.rmtree(info)
zipfile.ZipFile(wheel).extractall(site)
"""


@dataclass(frozen=True)
class Unpacker:
    """An installer that takes a tenth of a second. Like pip, it believes in what has metadata."""

    wheels: Path
    name: str = "unpacker"

    def create(self, venv: Path, python: Interpreter, tool: ToolRunner) -> None:
        tool.run(str(python.path), "-I", "-m", "venv", "--without-pip", str(venv))

    def install(self, venv: Path, requirements: Path, tool: ToolRunner, *, alone: bool = True) -> None:
        site = next(venv.rglob("site-packages"))
        for pin in pins(requirements.read_text()):
            wheel = self.wheels / f"{pin.name}-{pin.version}-py3-none-any.whl"
            tool.run(sys.executable, "-I", "-S", "-c", UNPACK, str(wheel), str(site))

    def build(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        self.install(venv, requirements, tool)

    def reinstall(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        for info in next(venv.rglob("site-packages")).glob(f"{PACKAGE}-*.dist-info"):
            shutil.rmtree(info)
        self.install(venv, requirements, tool)

    def install_from(
        self, venv: Path, index: str, requirements: Sequence[str], tool: ToolRunner, *, again: bool = False
    ) -> None:
        raise AssertionError("there is no other index here")

    def install_project(self, venv: Path, project: Path, tool: ToolRunner) -> None:
        tool.run(str(python_in(venv)), "-I", "-S", "-c", "")


@dataclass(frozen=True)
class BorrowedPip(Pip):
    """`Pip`, but the environment borrows the pip of the tests: to unpack one for each would take seconds."""

    def create(self, venv: Path, python: Interpreter, tool: ToolRunner) -> None:
        tool.run(str(python.path), "-I", "-m", "venv", "--without-pip", str(venv))

    def _pip(self, venv: Path, tool: ToolRunner, *arguments: str) -> None:
        tool.run(sys.executable, "-m", "pip", "--python", str(python_in(venv)), "install", "--no-deps", *arguments)


@dataclass
class Workshop:
    """A profile, the folder for its environment, and what was said while it was made."""

    folder: Path
    environ: dict[str, str]
    installer: Installer
    said: list[str] = field(default_factory=list)

    @property
    def venv(self) -> Path:
        return self.folder / "venv" / "tiny"

    @property
    def lock(self) -> Path:
        return self.folder / "tiny.txt"

    def manager(self, **changes: object) -> EnvironmentManager:
        settings: dict[str, object] = {
            "folder": self.folder / "venv",
            "installer": self.installer,
            "environ": self.environ,
            "tell": self.said.append,
        }
        return EnvironmentManager(**{**settings, **changes})  # type: ignore[arg-type]

    def pip(self) -> EnvironmentManager:
        """A manager that installs with pip itself."""
        return self.manager(installer=BorrowedPip())

    def profile(self, *modules: tuple[str, str]) -> EnvironmentProfile:
        return EnvironmentProfile("tiny", self.lock, modules)

    def package(self, version: str, source: str = "") -> EnvironmentProfile:
        """The profile of an environment with the tiny package in it."""
        self.lock.write_text(lock_line(make_wheel(self.folder / "wheels", version, source)))
        return self.profile((PACKAGE, PACKAGE))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "with a space"
    folder.mkdir()
    (folder / "tiny.txt").write_text("")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environ |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": (folder / "wheels").as_uri()}
    environ |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return Workshop(folder, environ, Unpacker(folder / "wheels"))


@pytest.fixture
def as_anybody() -> Callable[[Callable[[], object]], object]:
    """Calls something as a user to whom permissions apply, and returns its answer: an administrator may do anything."""
    if sys.platform != "linux":
        pytest.skip("capabilities are a thing of Linux")

    def call(work: Callable[[], object]) -> object:
        there, here = multiprocessing.Pipe()

        def run() -> None:
            header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
            assert ctypes.CDLL(None).capset(header, nothing) == 0
            try:
                there.send((work(), None))
            except Exception as error:  # noqa: BLE001 - it is raised where the answer was wanted
                there.send((None, error))

        process = multiprocessing.get_context("fork").Process(target=run)
        process.start()
        process.join()
        answer, error = here.recv()
        if error is not None:
            raise error
        return answer

    return call


@pytest.fixture
def root() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], Path]:
    """Makes a shell script that stands in for a tool."""

    def make(name: str, body: str) -> Path:
        path = tmp_path / "programs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return make
