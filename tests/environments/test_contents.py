"""Guards environments/contents.py and environments/index.py, with an index on this machine that serves a tiny torch."""

from __future__ import annotations

import functools
import hashlib
import http.server
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uv

from stemscribe.environments import contents as contents_module
from stemscribe.environments import index as index_module
from stemscribe.environments import manager as manager_module
from stemscribe.environments.contents import Contents, contents
from stemscribe.environments.installed import versions
from stemscribe.environments.installer import Uv
from stemscribe.environments.interpreter import Interpreter, running_python
from stemscribe.environments.profile import CpuBuild, EnvironmentProfile
from stemscribe.errors import EnvironmentBroken

from .conftest import PACKAGE, BorrowedPip, Workshop, lock_line, make_wheel

LINUX = Interpreter(Path(sys.executable), (*sys.version_info[:2], 0), "cpython", "linux-x86_64")
LOCK = f"""\
demucs==4.0.1 \\
    --hash=sha256:aa
nvidia-cublas==12 ; sys_platform == 'linux' \\
    --hash=sha256:bb
numpy==2.0 \\
    --hash=sha256:cc
{PACKAGE}==1.0 ; python_full_version < '3.4' \\
    --hash=sha256:dd
{PACKAGE}==2.5.1 ; python_full_version >= '3.4' \\
    --hash=sha256:ee
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """A test's terminal is no place for an access log."""


@pytest.fixture
def index(tmp_path) -> Iterator[str]:
    """The address of a package index that has one build for CPUs."""
    folder = tmp_path / "index" / PACKAGE
    wheel = make_wheel(folder, "2.5.1+cpu")
    (folder / "index.html").write_text(f'<a href="{wheel.name.replace("+", "%2B")}">{wheel.name}</a>')
    handler = functools.partial(Quiet, directory=str(tmp_path / "index"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def recipe(workshop, index) -> EnvironmentProfile:
    workshop.lock.write_text(LOCK)
    cpu = CpuBuild(index, (PACKAGE,), ("nvidia-*",), 4.7)
    return replace(workshop.profile(), built=("demucs",), cpu=cpu)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(contents_module, "nvidia_gpu", lambda: None)


def names(part: str) -> list[str]:
    return [line.partition("==")[0] for line in part.splitlines() if "==" in line.partition(" ")[0]]


def test_without_a_gpu_torch_comes_from_the_index_for_cpus(workshop, recipe, index, no_gpu):
    found = contents(recipe, workshop.venv, LINUX, workshop.said.append)
    assert (names(found.wheels), names(found.sources)) == (["numpy"], ["demucs"])
    assert (found.index, found.from_index) == (index, (f"{PACKAGE}==2.5.1+cpu",))
    assert workshop.said == ["No NVIDIA GPU here: taking PyTorch's build for CPUs, which saves 4.7 GB."]


def test_an_index_that_cannot_be_reached_is_told_in_a_line(workshop, recipe, no_gpu):
    recipe = replace(recipe, cpu=replace(recipe.cpu, index="http://127.0.0.1:9"))
    found = contents(recipe, workshop.venv, LINUX, workshop.said.append)
    assert names(found.wheels) == ["nvidia-cublas", "numpy", PACKAGE, PACKAGE]
    assert found.from_index == ()
    assert workshop.said == [
        "PyTorch's index of builds for CPUs cannot be reached (http://127.0.0.1:9); taking the default build, "
        "which needs 4.7 GB more."
    ]


def test_an_index_without_this_release_is_not_taken(workshop, recipe, no_gpu):
    workshop.lock.write_text(LOCK.replace("2.5.1", "2.6.0"))
    assert contents(recipe, workshop.venv, LINUX, workshop.said.append).from_index == ()


def test_an_index_that_is_silent_does_not_hold_anybody_up(workshop, recipe, no_gpu, monkeypatch):
    monkeypatch.setattr(index_module, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cpu = replace(recipe.cpu, index=f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert contents(replace(recipe, cpu=cpu), workshop.venv, LINUX, workshop.said.append).from_index == ()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("platform", ["darwin-arm64", "win32-AMD64", "linux-aarch64"])
def test_elsewhere_the_default_build_is_the_small_one(workshop, recipe, no_gpu, platform):
    found = contents(recipe, workshop.venv, replace(LINUX, platform=platform), workshop.said.append)
    assert (found.from_index, workshop.said) == ((), [])


def test_with_a_gpu_torch_comes_with_cuda(workshop, recipe, monkeypatch):
    monkeypatch.setattr(contents_module, "nvidia_gpu", lambda: object())
    assert contents(recipe, workshop.venv, LINUX, workshop.said.append).from_index == ()
    assert workshop.said == []


def test_what_has_the_small_build_keeps_it_without_a_network(workshop, recipe, no_gpu):
    """Otherwise an update away from home would bring in gigabytes of CUDA."""
    recipe = replace(recipe, cpu=replace(recipe.cpu, index="http://127.0.0.1:9"))
    (workshop.venv / "lib" / "python3.11" / "site-packages" / f"{PACKAGE}-2.5.1+cpu.dist-info").mkdir(parents=True)
    assert contents(recipe, workshop.venv, LINUX, workshop.said.append).from_index == (f"{PACKAGE}==2.5.1+cpu",)


@pytest.mark.parametrize("installer", [BorrowedPip(), Uv(uv.find_uv_bin())], ids=["pip", "uv"])
def test_the_real_tools_take_it_from_there(workshop: Workshop, recipe, index, no_gpu, installer):
    environ = {
        name: value for name, value in workshop.environ.items() if name not in {"PIP_NO_INDEX", "PIP_FIND_LINKS"}
    }
    environ |= {"UV_NO_CONFIG": "1"}
    workshop.lock.write_text(lock_line(make_wheel(workshop.folder / "wheels", "2.5.1")))
    recipe = replace(recipe, modules=((PACKAGE, PACKAGE),))
    marker = workshop.manager(installer=installer, environ=environ).ensure(recipe)
    assert marker.versions == {PACKAGE: "2.5.1+cpu"}
    assert versions(workshop.venv, [PACKAGE]) == {PACKAGE: "2.5.1+cpu"}
    workshop.said.clear()
    assert workshop.manager(installer=installer, environ=environ).ensure(recipe) == marker
    assert workshop.said == []


SETUP = "from setuptools import setup\nsetup(name='purepackage', version='4.0.1', py_modules=['purepackage'])\n"


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_a_source_is_built_with_what_the_lock_brought(workshop, tmp_path, tool):
    """Without isolation, so that what builds it is locked as well, and without the package `wheel`."""
    source = tmp_path / "purepackage-4.0.1"
    source.mkdir()
    (source / "setup.py").write_text(SETUP)
    (source / "purepackage.py").write_text("")
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: purepackage\nVersion: 4.0.1\n")
    shelf = workshop.folder / "wheels"
    shelf.mkdir()
    with tarfile.open(shelf / "purepackage-4.0.1.tar.gz", "w:gz") as archive:
        archive.add(source, source.name)
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(shelf), "setuptools>=70.1"]
    if subprocess.run(fetch, capture_output=True).returncode:
        pytest.skip("needs a network: setuptools cannot be downloaded")
    (builder,) = shelf.glob("setuptools-*.whl")

    def line(path: Path, name: str, version: str) -> str:
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"

    wheels = line(builder, "setuptools", builder.name.split("-")[1])
    sources = line(shelf / "purepackage-4.0.1.tar.gz", "purepackage", "4.0.1")
    workshop.lock.write_text(wheels + sources)
    environ = {**workshop.environ, "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(shelf), "PIP_NO_CACHE_DIR": "1"}
    installer = BorrowedPip() if tool == "pip" else Uv(uv.find_uv_bin())
    profile = replace(
        workshop.profile(("purepackage", "purepackage")), built=("purepackage",), builders=("setuptools",)
    )
    assert workshop.manager(installer=installer, environ=environ).ensure(profile).versions == {"purepackage": "4.0.1"}


def test_what_has_the_default_build_keeps_it_without_a_word(workshop, recipe, no_gpu):
    (workshop.venv / "lib" / "python3.11" / "site-packages" / f"{PACKAGE}-2.5.1.dist-info").mkdir(parents=True)
    found = contents(recipe, workshop.venv, LINUX, workshop.said.append)
    assert (found.from_index, workshop.said) == ((), [])
    assert PACKAGE in names(found.wheels)


class Recorder:
    """An installer that notes its steps."""

    def __init__(self):
        self.steps = []

    def install(self, venv, requirements, tool, *, alone):
        self.steps.append(("install", names(requirements.read_text()), alone))

    def build(self, venv, requirements, tool):
        self.steps.append(("build", names(requirements.read_text())))

    def install_from(self, venv, index, requirements, tool):
        self.steps.append(("from", index, requirements))


def test_a_whole_lock_goes_in_alone(workshop):
    """So that uv removes what it does not name; a part of a lock must not have the rest removed."""
    recorder = Recorder()
    Contents("numpy==2.0\n").install(recorder, workshop.venv, None)
    Contents("numpy==2.0\n", "demucs==4\n", "https://index", ("torch==1",)).install(recorder, workshop.venv, None)
    assert recorder.steps == [
        ("install", ["numpy"], True),
        ("install", ["numpy"], False),
        ("build", ["demucs"]),
        ("from", "https://index", ("torch==1",)),
    ]
    assert contents(workshop.profile(), workshop.venv, LINUX, workshop.said.append) == Contents("")


@pytest.fixture
def small(workshop, recipe, no_gpu, monkeypatch):
    """An environment with a build for CPUs, of which a file is missing; its manager, and its recipe."""
    workshop.lock.write_text(f"{PACKAGE}==2.5.1 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(contents_module, "PLATFORM", running_python().platform)
    recipe = replace(recipe, built=(), modules=((PACKAGE, PACKAGE),))
    environ = {name: value for name, value in workshop.environ.items() if name != "PIP_NO_INDEX"}
    manager = workshop.manager(installer=BorrowedPip(), environ=environ)
    manager.ensure(recipe)
    next(workshop.venv.rglob(f"{PACKAGE}.py")).unlink()
    return manager, recipe


def test_a_damaged_build_for_cpus_is_mended_from_where_it_came(small, workshop):
    manager, recipe = small
    (workshop.venv / "kept").touch()
    workshop.said.clear()
    assert manager.ensure(recipe, check=True).versions == {PACKAGE: "2.5.1+cpu"}
    assert f"Installing again: {PACKAGE}." in workshop.said
    assert next(workshop.venv.rglob(f"{PACKAGE}.py")).exists()
    assert (workshop.venv / "kept").exists(), "it should have been mended in place"


def test_where_its_index_cannot_be_reached_nothing_is_mixed(small, workshop, monkeypatch):
    manager, recipe = small
    monkeypatch.setattr(manager_module, "offers", lambda build, wanted: False)
    with pytest.raises(EnvironmentBroken) as error:
        manager.ensure(recipe, check=True)
    assert error.value.message.startswith(
        f"venv/tiny could not be mended: {PACKAGE}==2.5.1+cpu came from {recipe.cpu.index}, which cannot be reached."
    )
    assert versions(workshop.venv, [PACKAGE]) == {PACKAGE: "2.5.1+cpu"}
