"""Guards environments/profile.py."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stemscribe.environments.interpreter import Interpreter
from stemscribe.environments.profile import CORE_MODULES, TESTS_MODULES, has_wheels, profiles, project_metadata

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYTHON = Interpreter(Path("python"), (3, 11, 7), "cpython", "linux-x86_64")


@pytest.fixture
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements):
    return {re.match(r"[\w.-]+", requirement)[0] for requirement in requirements}


def test_every_dependency_is_proven(project):
    extras = project["optional-dependencies"]
    wanted = names(project["dependencies"]) | names(extras["studio"])
    assert set(CORE_MODULES) == wanted - {"tomli"}  # the only one that some Pythons do without
    assert set(TESTS_MODULES) == names(extras["tests"])


def test_openvino_is_not_asked_of_macs_with_intel():
    assert not has_wheels("openvino", "Darwin", "x86_64")
    assert has_wheels("openvino", "Darwin", "arm64")
    assert has_wheels("openvino", "Linux", "x86_64")
    assert has_wheels("av", "Darwin", "x86_64")


def test_the_digest_names_what_was_built(workshop):
    profile = workshop.profile()
    assert profile.digest(PYTHON) == profile.digest(replace(PYTHON, version=(3, 11, 9), path=Path("other")))
    others = {
        profile.digest(replace(PYTHON, version=(3, 12, 0))),
        profile.digest(replace(PYTHON, platform="linux-aarch64")),
        profile.digest(PYTHON),
    }
    workshop.lock.write_text("# another")
    assert len(others | {profile.digest(PYTHON)}) == 4


def test_tests_have_all_that_the_core_has(root):
    made = profiles(root)
    assert set(made["core"].modules) < set(made["tests"].modules)


def test_tool_settings_are_no_metadata():
    text = "[build-system]\na = 1\n[project]\nb = 2\n[tool.ruff]\nc = 3\n[project.scripts]\nd = 4\n"
    assert list(project_metadata(text)) == [
        "[build-system]",
        "a = 1",
        "[project]",
        "b = 2",
        "[project.scripts]",
        "d = 4",
    ]


def test_what_is_pinned_by_hand_must_be_exact_and_no_more(root):
    """So what `pip install -r requirements-demucs.txt` makes is taken over, whatever is released after the lock."""
    pinned = re.findall(r"^([\w-]+)==", (root / "requirements-demucs.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert list(profiles(root)["pinned"].exact) == pinned
