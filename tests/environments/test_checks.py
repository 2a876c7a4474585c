"""Guards .ci/checks.py, the list of what a change must pass."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def checks(root, monkeypatch):
    """The module's names; it belongs to no package."""
    monkeypatch.setitem(sys.modules, "checks", SimpleNamespace())
    return SimpleNamespace(**runpy.run_path(str(root / ".ci" / "checks.py"), run_name="checks"))


BEFORE_THE_TESTS = [
    "models",
    "venv/demucs",
    "browser",
    "ruff check",
    "ruff format",
    "mypy",
    "lint-imports",
    "pip-audit",
]


def test_the_tests_come_last_and_get_the_arguments(checks):
    listed = checks.checks(Path("bin"), ["-k", "one"], {})
    assert [check.name for check in listed] == [*BEFORE_THE_TESTS, "pytest"]
    assert listed[-1].command[-3:] == ("pytest", "-k", "one")


def test_all_tests_are_the_light_ones_side_by_side_and_then_the_others(checks):
    listed = checks.checks(Path("bin"), [], {})
    assert [check.name for check in listed] == [*BEFORE_THE_TESTS, "light tests", "heavy tests"]
    light, heavy = (check.command for check in listed[-2:])
    assert light[-4:] == ("-m", f"not ({heavy[-1]})", "--numprocesses", "auto")


@pytest.mark.parametrize(("environ", "required"), [({}, False), ({"CI": ""}, False), ({"CI": "true"}, True)])
def test_models_and_torch_are_required_under_ci(checks, environ, required):
    assert [check.required for check in checks.checks(Path("bin"), [], environ)[:3]] == [required] * 3


@pytest.mark.parametrize(("required", "verdict"), [(True, "FAILED"), (False, "warning")])
def test_a_failed_check_is_told(checks, capfd, required, verdict):
    outcome = checks.carry_out(checks.Check("it", (sys.executable, "-c", "print('said'); exit(3)"), required))
    assert (outcome.exit_code, outcome.verdict) == (3, verdict)
    expected = "[INFO] Running it...\nsaid\n"
    if not required:
        expected += "[WARNING] it failed; going on without. Tests that need them fail or are skipped.\n"
    assert capfd.readouterr().out == expected


@pytest.mark.parametrize(("code", "verdict"), [(0, "passed"), (1, "FAILED"), (3, "warning")])
def test_a_check_may_say_itself_that_it_only_warns(checks, code, verdict):
    assert checks.carry_out(checks.Check("it", (sys.executable, "-c", f"exit({code})"), warns=3)).verdict == verdict


def test_a_missing_program_fails_its_check(checks):
    assert checks.carry_out(checks.Check("it", ("/no/such/program",))).verdict == "FAILED"


def test_the_table_has_a_line_for_each(checks):
    outcomes = [
        checks.Outcome(checks.Check("mypy", ()), 0, 12.34),
        checks.Outcome(checks.Check("pytest", ()), 1, 0.5),
    ]
    assert checks.table(outcomes) == "mypy          passed      12.3 s\npytest        FAILED       0.5 s"
