"""Guards environments/choice.py: which recipe is taken, and what is said where none can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stemscribe.environments import choice
from stemscribe.environments.choice import choose_profile
from stemscribe.environments.interpreter import Interpreter
from stemscribe.environments.marker import Marker, claim, write_marker
from stemscribe.environments.profile import torch_profiles
from stemscribe.errors import EnvironmentBroken


@pytest.fixture
def recipes(root):
    return torch_profiles(root)


@pytest.fixture
def here(monkeypatch):
    """Lets this be another computer, which has these Pythons."""

    def be(platform: str, *minors: tuple[int, int]) -> None:
        pythons = [Interpreter(Path("python"), (*minor, 1), "cpython", platform) for minor in minors]

        def choose(requested, *, which, minors):
            found = [python for python in pythons if python.is_one_of(minors)]
            if not found:
                raise EnvironmentBroken("there is none")
            return found[0]

        monkeypatch.setattr(choice, "running_python", lambda: pythons[0])
        monkeypatch.setattr(choice, "choose", choose)

    return be


def made_from(venv, name):
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    claim(venv)
    write_marker(venv, Marker(name, "d", "p", "Python 3.12.1", "pip", {}))


@pytest.mark.parametrize(
    ("platform", "minors", "expected"),
    [
        ("linux-x86_64", [(3, 11)], "pinned"),
        ("linux-x86_64", [(3, 13), (3, 12)], "pinned"),
        ("linux-x86_64", [(3, 13)], "modern"),
        ("darwin-arm64", [(3, 14)], "modern"),
        ("linux-x86_64", [(3, 9)], "pinned"),
    ],
)
def test_pinned_where_it_can_be_had_else_modern(recipes, here, tmp_path, platform, minors, expected):
    here(platform, *minors)
    assert choose_profile(recipes, tmp_path / "demucs").name == expected


def test_what_was_chosen_once_stays(recipes, here, tmp_path):
    here("linux-x86_64", (3, 12))
    made_from(tmp_path / "demucs", "modern")
    assert choose_profile(recipes, tmp_path / "demucs").name == "modern"
    assert choose_profile(recipes, tmp_path / "demucs", requested="pinned").name == "pinned"
    here("linux-x86_64", (3, 9))
    assert choose_profile(recipes, tmp_path / "demucs").name == "pinned", "modern cannot be had any more"


def test_what_has_lost_its_python_is_made_anew_from_the_same(recipes, here, tmp_path):
    here("linux-x86_64", (3, 12))
    made_from(tmp_path / "demucs", "modern")
    (tmp_path / "demucs" / "bin" / "python").unlink()
    assert choose_profile(recipes, tmp_path / "demucs").name == "modern"


def test_what_was_interrupted_goes_on_from_the_same(recipes, here, tmp_path):
    here("linux-x86_64", (3, 12))
    (tmp_path / "demucs").mkdir()
    claim(tmp_path / "demucs", "modern")
    assert choose_profile(recipes, tmp_path / "demucs").name == "modern"
    claim(tmp_path / "demucs")
    assert choose_profile(recipes, tmp_path / "demucs").name == "pinned"


def test_a_copy_does_not_decide(recipes, here, tmp_path):
    here("linux-x86_64", (3, 12))
    made_from(tmp_path / "original", "modern")
    (tmp_path / "original").rename(tmp_path / "demucs")
    assert choose_profile(recipes, tmp_path / "demucs").name == "pinned"


def test_what_cannot_be_had_names_what_can(recipes, here, tmp_path):
    here("linux-x86_64", (3, 13))
    with pytest.raises(EnvironmentBroken) as error:
        choose_profile(recipes, tmp_path / "demucs", requested="pinned")
    assert error.value.message == (
        "venv/demucs cannot be made from the profile `pinned` here: it needs Python 3.9 to 3.12, "
        "and there is cpython 3.13.1 and none of them."
    )
    assert error.value.hint == "`./bootstrap.sh --env demucs --profile modern` can be had here."


def test_macs_with_intel_are_told_that_there_is_another_engine(recipes, here, tmp_path):
    here("darwin-x86_64", (3, 12))
    with pytest.raises(EnvironmentBroken) as error:
        choose_profile(recipes, tmp_path / "demucs")
    assert error.value.message == (
        "venv/demucs cannot be made from the profile `pinned` here: PyTorch has no wheels of it for darwin-x86_64."
    )
    assert error.value.hint == (
        "No other profile can be had here either. Engine onnx separates without it: `--engine onnx`."
    )


def test_a_python_that_was_named_and_will_not_do_is_named(recipes, tmp_path):
    recipes = {"pinned": replace(recipes["pinned"], platforms=(), pythons=((3, 98), (3, 99)))}
    with pytest.raises(EnvironmentBroken, match="STEMSCRIBE_PYTHON names /my/python, which is none of them"):
        choose_profile(recipes, tmp_path / "demucs", requested_python="/my/python")
