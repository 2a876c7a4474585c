"""Guards environments/manager.py with real, tiny environments."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import uv

from stemscribe.environments.diagnosis import Failure
from stemscribe.environments.installer import Installer, Pip, Uv
from stemscribe.environments.interpreter import Interpreter, python_in
from stemscribe.environments.manager import empty
from stemscribe.environments.marker import MARKER_NAME, read_marker
from stemscribe.environments.profile import EnvironmentProfile
from stemscribe.environments.tool import ToolFailed, ToolRunner
from stemscribe.errors import EnvironmentBroken, StorageError

posix = pytest.mark.skipif(os.name == "nt", reason="forks and signals")


@dataclass(frozen=True)
class Observed:
    """An installer that notes what it is asked for, and may do something more after an installation."""

    inner: Installer
    notes: Path
    afterwards: tuple[str, ...] = ()
    name: str = "pip"

    def create(self, venv: Path, python: Interpreter, tool: ToolRunner) -> None:
        self._note("create")
        self.inner.create(venv, python, tool)

    def install(self, venv: Path, requirements: Path, tool: ToolRunner, *, alone: bool = True) -> None:
        self.inner.install(venv, requirements, tool)
        self._note("install")
        if self.afterwards:
            tool.run(*self.afterwards)

    def install_project(self, venv: Path, project: Path, tool: ToolRunner) -> None:
        self.inner.install_project(venv, project, tool)

    def build(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        self._note("build")
        self.inner.build(venv, requirements, tool)

    def reinstall(self, venv: Path, requirements: Path, tool: ToolRunner) -> None:
        self._note("reinstall")
        self.inner.reinstall(venv, requirements, tool)

    def install_from(
        self, venv: Path, index: str, requirements: Sequence[str], tool: ToolRunner, *, again: bool = False
    ) -> None:
        self._note("install from")
        self.inner.install_from(venv, index, requirements, tool, again=again)

    def _note(self, what: str) -> None:
        with self.notes.open("a") as notes:
            notes.write(f"{what}\n")


class Failing:
    """An installer that has no network."""

    name = "failing"

    def create(self, venv: Path, python: Interpreter, tool: ToolRunner) -> None:
        raise ToolFailed(["installer"], 1, "Network is unreachable")


def in_another_process(work: Callable[[], object]) -> multiprocessing.process.BaseProcess:
    """Start `work` in a process that leads a process group of its own."""

    def lead() -> None:
        os.setsid()
        work()

    process = multiprocessing.get_context("fork").Process(target=lead)
    process.start()
    return process


def wait_for(path: Path, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def test_makes_an_environment_that_works(workshop):
    marker = workshop.manager().ensure(workshop.package("1.0", "answer = 42"))
    command = [str(python_in(workshop.venv)), "-c", "import tinypackage; print(tinypackage.answer)"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "42\n"
    assert marker.versions == {"tinypackage": "1.0"}
    assert read_marker(workshop.venv) == marker


def test_does_nothing_twice(workshop, tmp_path):
    notes = tmp_path / "notes"
    manager = workshop.manager(installer=Observed(workshop.installer, notes))
    profile = workshop.package("1.0")
    first = manager.ensure(profile)
    workshop.said.clear()
    assert manager.ensure(profile) == first
    assert notes.read_text().split() == ["create", "install"]
    assert workshop.said == []


def test_the_real_pip_makes_an_environment(workshop):
    """What users get; the other tests are quicker with less."""
    marker = workshop.manager(installer=Pip()).ensure(workshop.package("1.0"))
    assert (marker.installer, marker.versions) == ("pip", {"tinypackage": "1.0"})


def test_the_real_uv_makes_an_environment(workshop):
    wheels = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(workshop.folder / "wheels")}
    manager = workshop.manager(installer=Uv(uv.find_uv_bin()), environ={**workshop.environ, **wheels})
    assert manager.ensure(workshop.package("1.0")).installer == "uv"
    assert manager.ensure(workshop.package("2.0")).versions == {"tinypackage": "2.0"}


def test_a_new_lock_is_installed_in_place(workshop):
    manager = workshop.manager()
    manager.ensure(workshop.package("1.0"))
    (workshop.venv / "kept").touch()
    workshop.said.clear()
    assert manager.ensure(workshop.package("2.0")).versions == {"tinypackage": "2.0"}
    assert (workshop.venv / "kept").exists()
    assert workshop.said[0].startswith("Bringing venv/tiny up to date (Python ")


@posix
def test_goes_on_after_a_kill(workshop, tmp_path):
    notes, profile = tmp_path / "notes", workshop.package("1.0")
    stuck = Observed(workshop.installer, notes, afterwards=("sh", "-c", f"touch '{tmp_path}/installed'; sleep 60"))
    builder = in_another_process(lambda: workshop.manager(installer=stuck).ensure(profile))
    wait_for(tmp_path / "installed")
    os.killpg(builder.pid, signal.SIGKILL)
    builder.join()

    (workshop.venv / "kept").touch()
    assert read_marker(workshop.venv) is None
    assert workshop.manager().ensure(profile).versions == {"tinypackage": "1.0"}
    assert (workshop.venv / "kept").exists(), "it should have been continued, not built from empty"


@posix
def test_waits_for_a_tool_that_outlived_its_manager(workshop, tmp_path):
    profile, done = workshop.package("1.0"), tmp_path / "done"
    slow = ("sh", "-c", f"touch '{tmp_path}/installed'; sleep 2; touch '{done}'")
    builder = in_another_process(
        lambda: workshop.manager(installer=Observed(workshop.installer, tmp_path / "notes", slow)).ensure(profile)
    )
    wait_for(tmp_path / "installed")
    os.kill(builder.pid, signal.SIGKILL)
    builder.join()

    workshop.manager().ensure(profile)
    assert done.exists()
    assert workshop.said[0] == "Another process is making venv/tiny; waiting for it."


@posix
def test_two_at_once_make_it_once(workshop, tmp_path):
    notes, profile = tmp_path / "notes", workshop.package("1.0")
    manager = workshop.manager(installer=Observed(workshop.installer, notes))
    builders = [in_another_process(lambda: manager.ensure(profile)) for _ in range(2)]
    for builder in builders:
        builder.join()
    assert [builder.exitcode for builder in builders] == [0, 0]
    assert notes.read_text().split() == ["create", "install"]


def test_is_rebuilt_when_its_interpreter_is_gone(workshop):
    manager, profile = workshop.manager(), workshop.package("1.0")
    manager.ensure(profile)
    python_in(workshop.venv).unlink()
    assert manager.ready(profile) is None
    assert manager.ensure(profile).versions == {"tinypackage": "1.0"}


def test_is_rebuilt_where_it_was_copied_to(workshop):
    """Its programs still name the interpreter of the original."""
    profile = workshop.package("1.0")
    workshop.manager().ensure(profile)
    copied = workshop.manager(folder=workshop.folder / "elsewhere")
    shutil.copytree(workshop.folder / "venv", copied.folder, symlinks=True)
    (copied.path(profile) / "stale").touch()
    assert copied.ready(profile) is None
    copied.ensure(profile)
    assert not (copied.path(profile) / "stale").exists()


def test_force_builds_from_empty(workshop):
    manager, profile = workshop.manager(), workshop.package("1.0")
    manager.ensure(profile)
    (workshop.venv / "stale").touch()
    manager.ensure(profile, force=True)
    assert not (workshop.venv / "stale").exists()


def test_a_half_installed_package_is_mended(workshop):
    """An installer believes in a package whose metadata are there; that a file is missing only the proof sees."""
    manager, profile = workshop.manager(), workshop.package("1.0")
    manager.ensure(profile)
    (workshop.venv / MARKER_NAME).unlink()
    (workshop.venv / "kept").touch()
    next(workshop.venv.rglob("tinypackage.py")).write_text("# cut short")
    workshop.said.clear()
    manager.ensure(profile)
    assert workshop.said[1] == "Installing again: tinypackage."
    assert next(workshop.venv.rglob("tinypackage.py")).read_text() == ""
    assert (workshop.venv / "kept").exists(), "the rest of it should have been left alone"


def test_what_cannot_be_mended_in_place_is_built_from_empty(workshop):
    manager, profile = workshop.manager(), workshop.package("1.0", "answer = 1")
    manager.ensure(profile)
    (workshop.venv / MARKER_NAME).unlink()
    module = next(workshop.venv.rglob("tinypackage.py"))
    module.write_text("answer = *")  # of the same length
    os.utime(module, (0, 0))  # and not of the time for which there is byte code
    workshop.said.clear()
    manager.ensure(profile)
    assert workshop.said[1].startswith("venv/tiny cannot be mended in place (Error: `tinypackage` cannot be imported: ")
    assert next(workshop.venv.rglob("tinypackage.py")).read_text() == "answer = 1"


def test_a_check_finds_what_the_marker_does_not_know(workshop):
    manager, profile = workshop.manager(), workshop.package("1.0")
    manager.ensure(profile)
    next(workshop.venv.rglob("tinypackage.py")).unlink()
    assert manager.ready(profile) is not None
    workshop.said.clear()
    manager.ensure(profile, check=True)
    assert workshop.said[0] == "venv/tiny is damaged (Error: tinypackage is not whole: tinypackage.py is missing)."
    assert workshop.said[2] == "Installing again: tinypackage."
    assert next(workshop.venv.rglob("tinypackage.py")).exists()


TOUCHED = "venv/tiny was touched since it was proven; looking at it again."


def test_what_was_touched_is_looked_at_again_unasked(workshop):
    manager, profile = workshop.manager(), workshop.package("1.0")
    manager.ensure(profile)
    next(workshop.venv.rglob("tinypackage.py")).unlink()
    workshop.said.clear()
    manager.ensure(profile)
    assert workshop.said[:2] == [
        TOUCHED,
        "venv/tiny is damaged (Error: tinypackage is not whole: tinypackage.py is missing).",
    ]
    assert next(workshop.venv.rglob("tinypackage.py")).exists()
    workshop.said.clear()
    manager.ensure(profile)
    assert workshop.said == []


def test_a_touch_that_did_no_harm_is_looked_at_once(workshop):
    manager, profile = workshop.manager(), workshop.package("1.0")
    first = manager.ensure(profile)
    next(workshop.venv.rglob("tinypackage.py")).with_name("another.py").touch()
    workshop.said.clear()
    assert (manager.ensure(profile), manager.ensure(profile)) == (first, first)
    assert workshop.said == [TOUCHED]


def test_a_library_that_ends_the_process_is_mended_as_well(workshop):
    """As one does that was cut short: it is not loaded to find that out."""
    manager, profile = workshop.manager(), workshop.package("1.0")
    manager.ensure(profile)
    next(workshop.venv.rglob("tinypackage.py")).write_text("import os; os._exit(135)")
    workshop.said.clear()
    manager.ensure(profile, check=True)
    assert workshop.said[2] == "Installing again: tinypackage."


def test_a_check_changes_nothing_where_all_is_well(workshop, tmp_path):
    notes = tmp_path / "notes"
    manager, profile = workshop.manager(installer=Observed(workshop.installer, notes)), workshop.package("1.0")
    first = manager.ensure(profile)
    workshop.said.clear()
    assert manager.ensure(profile, check=True) == first
    assert (notes.read_text().split(), workshop.said) == (["create", "install"], [])


def test_no_marker_without_proof(workshop):
    profile = workshop.package("1.0", "raise OSError('libsomething.so.1: cannot open shared object file')")
    with pytest.raises(EnvironmentBroken) as failure:
        workshop.manager().ensure(profile)
    assert failure.value.message == (
        "venv/tiny could not be made: Error: `tinypackage` cannot be imported: "
        "OSError: libsomething.so.1: cannot open shared object file. "
        f"The log is {workshop.folder / 'venv' / 'tiny.log'}."
    )
    assert failure.value.hint == (
        "Run `./bootstrap.sh --env tiny --force` to build it from empty; if that fails as well, report it with the log."
    )
    assert not (workshop.venv / MARKER_NAME).exists()


def test_a_failed_update_cannot_be_taken_for_what_was_there_before(workshop):
    """The old lock comes back, say with `git checkout`, but the packages are no longer those of the old marker."""
    manager, old = workshop.manager(), workshop.package("1.0")
    manager.ensure(old)
    locked = workshop.lock.read_text()
    with pytest.raises(EnvironmentBroken):
        workshop.manager(installer=Failing()).ensure(workshop.package("2.0"))
    workshop.lock.write_text(locked)
    assert manager.ready(old) is None


def test_a_proof_without_an_answer_is_a_failure(workshop):
    with pytest.raises(EnvironmentBroken, match="its Python gave no answer"):
        workshop.manager().ensure(workshop.package("1.0", "import os; os._exit(3)"))


def test_a_package_with_another_hash_is_refused(workshop):
    profile = workshop.package("1.0")
    workshop.package("1.0", "evil = True")
    workshop.lock.write_text(f"tinypackage==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(Failure, match="not the one that the lock names") as failure:
        workshop.pip().ensure(profile)
    assert failure.value.outside
    assert not list(workshop.venv.rglob("tinypackage.py"))


def test_a_missing_package_is_named_in_the_log(workshop):
    workshop.lock.write_text(f"nosuchpackage==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(EnvironmentBroken, match="has no wheel for this platform"):
        workshop.pip().ensure(workshop.profile())
    assert "nosuchpackage" in (workshop.folder / "venv" / "tiny.log").read_text()


def test_what_lies_outside_does_not_cost_the_environment(workshop):
    """Without a network, an environment that cannot be updated is not thrown away."""
    manager = workshop.manager()
    manager.ensure(workshop.package("1.0"))
    workshop.lock.write_text(f"nosuchpackage==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(Failure):
        workshop.pip().ensure(workshop.profile())
    assert list(workshop.venv.rglob("tinypackage.py"))


def test_another_python_than_the_requested_is_not_ready(workshop):
    manager, profile = workshop.manager(requested_python=sys.executable), workshop.package("1.0")
    manager.ensure(profile)
    assert manager.ready(profile) is not None
    with pytest.raises(EnvironmentBroken, match="does not exist"):
        workshop.manager(requested_python="/no/such/python").ready(profile)


def test_a_folder_that_cannot_be_made_is_a_storage_error(workshop):
    blocked = workshop.folder / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match="venv/tiny could not be made"):
        workshop.manager(folder=blocked).ensure(workshop.package("1.0"))


def test_installs_the_project_in_place(workshop, tmp_path):
    """Its own metadata count: a new version is installed, other packages are not touched."""
    project = tmp_path / "project"
    (project / "src" / "stemscribe").mkdir(parents=True)
    init = project / "src" / "stemscribe" / "__init__.py"
    init.write_text('"""Tiny."""\n__version__ = "1.0"\n')
    (project / "pyproject.toml").write_text("[project]\nname = 'stemscribe'\n[tool.ruff]\n")
    installed: list[Path] = []

    class WithProject(Observed):
        def install_project(self, venv: Path, project: Path, tool: ToolRunner) -> None:
            installed.append(project)

    manager = workshop.manager(installer=WithProject(workshop.installer, tmp_path / "notes"))
    profile = EnvironmentProfile("tiny", workshop.lock, (), project)
    first = manager.ensure(profile)
    manager.ensure(profile)
    assert installed == [project]
    init.write_text('"""Tiny."""\n__version__ = "1.1"\n')
    second = manager.ensure(profile)
    assert installed == [project, project]
    assert second.digest == first.digest


def test_empty_keeps_a_linked_folder(tmp_path):
    roomy, venv = tmp_path / "roomy", tmp_path / "venv"
    (roomy / "lib").mkdir(parents=True)
    venv.symlink_to(roomy, target_is_directory=True)
    empty(venv)
    assert venv.is_symlink()
    assert list(roomy.iterdir()) == []
