"""Guards environments/__main__.py: the whole of what it prints."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import pytest

from stemscribe.environments import __main__ as front
from stemscribe.environments.interpreter import Interpreter, python_in
from stemscribe.environments.marker import Marker
from stemscribe.environments.profile import torch_profiles
from stemscribe.errors import EnvironmentBroken

HERE = sys.version_info[:2]


class FakeManager:
    """Says what a manager would say, and makes nothing."""

    asked: ClassVar[list[tuple[str, bool, bool]]] = []
    failure: BaseException | None = None

    def __init__(self, **settings):
        self.folder, self.requested_python = settings["folder"], None

    def path(self, profile):
        return self.folder / profile.environment

    def ensure(self, profile, *, force=False, check=False):
        self.asked.append((profile.name, force, check))
        if self.failure:
            raise self.failure
        return Marker(profile.name, "d", "p", "Python 3.11.7", "uv", {"av": "1", "numpy": "2"})


@pytest.fixture
def manager(monkeypatch):
    fake = type("Fake", (FakeManager,), {"asked": []})
    monkeypatch.setattr(front, "EnvironmentManager", fake)
    return fake


@pytest.fixture
def recipes(monkeypatch):
    """The recipes for venv/demucs, all of which can be had here."""
    made = {name: replace(recipe, platforms=(), pythons=(HERE,)) for name, recipe in torch_profiles(front.ROOT).items()}
    monkeypatch.setattr(front, "torch_profiles", lambda root: made)
    return made


def test_makes_what_work_needs_by_default(manager, recipes, capsys):
    assert front.main([]) == 0
    assert manager.asked == [("core", False, False), ("pinned", False, False)]
    assert capsys.readouterr() == (
        "",
        "[INFO] venv/core is ready (Python 3.11.7, 2 packages proven).\n"
        "[INFO] venv/demucs is ready (Python 3.11.7, 2 packages proven).\n",
    )


def test_a_profile_can_be_asked_for(manager, recipes):
    assert front.main(["--env", "demucs", "--profile", "modern", "--check", "--quiet"]) == 0
    assert manager.asked == [("modern", False, True)]


def test_an_unknown_profile_is_wrong_usage(manager, recipes, capsys):
    assert front.main(["--env", "demucs", "--profile", "newest"]) == 2
    assert (manager.asked, capsys.readouterr().err) == (
        [],
        "[ERROR] There is no profile `newest`.\nThere are: pinned, modern.\n",
    )


def test_what_cannot_be_had_stops_nobody_who_did_not_ask_for_it(manager, recipes, capsys):
    """A Mac with Intel: no torch, but all the rest works."""
    for name in recipes:
        recipes[name] = replace(recipes[name], platforms=("amiga-m68k",))
    assert front.main(["--quiet"]) == 0
    assert manager.asked == [("core", False, False)]
    said = capsys.readouterr().err
    assert said.startswith(
        "[INFO] venv/demucs cannot be made from the profile `pinned` here: PyTorch has no wheels of it"
    )
    assert said.endswith(
        "No other profile can be had here either. Engine onnx separates without it: `--engine onnx`.\n"
    )
    assert front.main(["--env", "demucs"]) == 1
    assert len(manager.asked) == 1


def test_a_python_that_cannot_read_the_recipes_makes_the_core_and_hands_over(manager, monkeypatch, capsys):
    handed_over = []
    monkeypatch.setattr(front, "can_read_toml", lambda: False)
    monkeypatch.setattr(
        front.subprocess, "run", lambda command, **_: handed_over.append(command) or SimpleNamespace(returncode=7)
    )
    assert front.main(["--profile", "pinned", "--check"]) == 7
    assert manager.asked == [("core", False, True)]
    (command,) = handed_over
    assert command[0] == str(python_in(front.ROOT / "venv" / "core"))
    assert command[1:] == ["-m", "stemscribe.environments", "--env", "demucs", "--profile", "pinned", "--check"]
    assert capsys.readouterr().err == "[INFO] venv/core is ready (Python 3.11.7, 2 packages proven).\n"


def test_makes_what_is_named_and_can_be_quiet(manager, capsys):
    assert front.main(["--env", "tests", "--env", "core", "--force", "--quiet"]) == 0
    assert manager.asked == [("tests", True, False), ("core", True, False)]
    assert capsys.readouterr() == ("", "")


def test_an_error_is_told_with_its_hint(manager, capsys):
    manager.failure = EnvironmentBroken("It broke.", hint="Mend it.")
    assert front.main(["--env", "core"]) == 1
    assert capsys.readouterr() == ("", "[ERROR] It broke.\nMend it.\n")


def test_an_interruption_is_told_calmly(manager, capsys):
    manager.failure = KeyboardInterrupt()
    assert front.main(["--env", "core"]) == 130
    assert capsys.readouterr() == ("", "\nInterrupted. Run the same command again; it goes on where it stopped.\n")


@pytest.fixture
def named(monkeypatch, tmp_path):
    """Lets STEMSCRIBE_PYTHON name a Python of some version; gives what the managers were told of it."""
    asked = []

    def be(minor: tuple[int, int], implementation: str = "cpython") -> list[str | None]:
        found = Interpreter(tmp_path / "python", (*minor, 1), implementation, "linux-x86_64")
        monkeypatch.setenv("STEMSCRIBE_PYTHON", "thatpython")
        monkeypatch.setattr(front.shutil, "which", lambda name: f"/bin/{name}")
        monkeypatch.setattr(front, "examine", lambda path: found)

        class Listening(FakeManager):
            def __init__(self, **settings):
                super().__init__(**settings)
                asked.append(settings["requested_python"])

        monkeypatch.setattr(front, "EnvironmentManager", Listening)
        return asked

    return be


@pytest.mark.parametrize("minor", [(3, 9), (3, 14)])
def test_a_python_for_demucs_only_is_not_used_for_the_core(named, recipes, capsys, minor):
    asked = named(minor)
    assert front.main(["--quiet"]) == 0
    assert asked == [None, "thatpython"]
    version = ".".join(map(str, minor)) + ".1"
    assert capsys.readouterr().err == (
        f"[INFO] STEMSCRIBE_PYTHON names Python {version}, which venv/core cannot be made with (it needs 3.10 to "
        f"3.13): another one is looked for, and Python {version} is used for venv/demucs only.\n"
    )


def test_the_core_that_is_made_on_the_way_gets_another_python_too(named, monkeypatch):
    asked = named((3, 9))
    monkeypatch.setattr(front, "can_read_toml", lambda: False)
    monkeypatch.setattr(front.subprocess, "run", lambda command, **_: SimpleNamespace(returncode=0))
    assert front.main(["--env", "demucs"]) == 0
    assert asked == [None]


@pytest.mark.parametrize(("minor", "implementation"), [((3, 11), "cpython"), ((3, 9), "pypy")])
def test_any_other_named_python_holds_for_all(named, recipes, capsys, minor, implementation):
    asked = named(minor, implementation)
    front.main(["--quiet"])
    assert asked == ["thatpython", "thatpython"]
    assert capsys.readouterr().err == ""


def test_where_only_the_core_is_wanted_the_named_python_holds(named):
    asked = named((3, 9))
    front.main(["--env", "core", "--quiet"])
    assert asked == ["thatpython"]


def test_a_python_that_cannot_read_the_recipes_lets_the_core_lock(manager, monkeypatch):
    handed_over = []
    monkeypatch.setattr(front, "can_read_toml", lambda: False)
    monkeypatch.setattr(
        front.subprocess, "run", lambda command, **_: handed_over.append(command) or SimpleNamespace(returncode=3)
    )
    assert front.main(["lock", "--upgrade"]) == 3
    assert manager.asked == [("core", False, False)]
    core = str(python_in(front.ROOT / "venv" / "core"))
    assert handed_over == [[core, "-m", "stemscribe.environments", "lock", "--upgrade"]]
