"""Guards .ci/audit.py: what of an advisory fails a change, what warns, and that silence is not taken for good news."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module's names; it belongs to no package."""
    monkeypatch.setitem(sys.modules, "audit", SimpleNamespace())
    return SimpleNamespace(**runpy.run_path(str(ROOT / ".ci" / "audit.py"), run_name="audit"))


def knowing(audit: Any, *findings: Any, silent: bool = False) -> Any:
    """A service that knows of the probe, and of these."""
    probe = audit.Finding("torch", "2.5.1", ("CVE-2025-32434",), ("2.6.0",))

    def asked(requirements: Any, deadline: float) -> list[Any]:
        if silent:
            raise audit.NoAnswer("silence")
        return [one for one in (probe, *findings) if f"{one.package}=={one.version}" in requirements]

    return asked


def pinned(audit: Any, lock: str, package: str) -> str:
    found = sorted(one for one in audit.wanted([ROOT / "requirements" / lock]) if one.startswith(f"{package}=="))
    return found[-1].partition("==")[2]


def test_what_is_explained_passes(audit):
    outcome = audit.look(knowing(audit))
    assert (outcome.exit_code, outcome.failures, outcome.warnings) == (0, [], [])


def test_what_is_new_and_can_be_mended_fails(audit):
    httpx = audit.Finding("httpx", pinned(audit, "core.txt", "httpx"), ("CVE-2999-1",), ("9.9",))
    outcome = audit.look(knowing(audit, httpx))
    assert outcome.exit_code == 1
    assert outcome.failures == [f"httpx {httpx.version}: CVE-2999-1 (fixed in 9.9)"]


def test_what_nobody_has_fixed_warns(audit):
    httpx = audit.Finding("httpx", pinned(audit, "core.txt", "httpx"), ("CVE-2999-1",), ())
    outcome = audit.look(knowing(audit, httpx))
    assert (outcome.exit_code, len(outcome.warnings)) == (audit.WARNING, 1)


def test_what_is_new_about_torch_warns(audit):
    new = audit.Finding("torch", "2.5.1", ("CVE-2999-2",), ("2.9.0",))
    outcome = audit.look(knowing(audit, new))
    assert (outcome.exit_code, len(outcome.warnings)) == (audit.WARNING, 1)


def test_service_that_is_silent_warns(audit):
    outcome = audit.look(knowing(audit, silent=True))
    assert (outcome.exit_code, outcome.silence) == (audit.WARNING, "silence")


def test_service_that_knows_nothing_of_what_is_known_is_not_believed(audit):
    outcome = audit.look(lambda requirements, deadline: [])
    assert outcome.exit_code == audit.WARNING
    assert "known to be vulnerable" in outcome.silence


def answering(monkeypatch: pytest.MonkeyPatch, report: object) -> None:
    done = SimpleNamespace(stdout=report if isinstance(report, str) else json.dumps(report))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)


def test_findings_are_read_from_the_report(audit, monkeypatch):
    vulnerability = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2"]}
    answering(monkeypatch, {"dependencies": [{"name": "a", "version": "1", "vulns": [vulnerability]}]})
    assert audit.ask(["a==1"], time.monotonic() + 9) == [audit.Finding("a", "1", ("PYSEC-1", "CVE-1"), ("2",))]


@pytest.mark.parametrize(
    "report",
    ["", "no JSON", {}, {"dependencies": [{"name": "a", "skip_reason": "not found, and could not be audited"}]}],
)
def test_report_about_nothing_is_no_good_news(audit, monkeypatch, report):
    """pip-audit calls this "No known vulnerabilities found", and ends with 0."""
    answering(monkeypatch, report)
    with pytest.raises(audit.NoAnswer):
        audit.ask(["a==1"], time.monotonic() + 9)


def test_time_is_limited(audit, monkeypatch):
    def late(command: object, *, timeout: float, **_: object) -> None:
        assert timeout <= 60
        raise subprocess.TimeoutExpired("pip-audit", timeout)

    monkeypatch.setattr(subprocess, "run", late)
    assert audit.look().exit_code == audit.WARNING
    assert audit.SECONDS <= 60


def test_locks_are_asked_for_with_all_their_versions(audit):
    locks = [*audit.MUST_BE_CLEAN, *audit.MAY_WAIT]
    assert {path.name for path in (ROOT / "requirements").glob("*.txt")} == set(locks)
    everything = audit.wanted(ROOT / "requirements" / name for name in locks)
    assert audit.PROBE in everything
    assert {one for round_ in audit.in_rounds(everything) for one in round_} == everything


@pytest.mark.parametrize("entry", ['why = " "\nnames = ["X"]', 'why = "x"\nnames = []'])
def test_every_exception_has_a_reason(audit, tmp_path, entry):
    assert audit.explained()["torch"] >= {"CVE-2025-32434"}
    (tmp_path / "a.toml").write_text(f'[[advisories]]\npackage = "a"\n{entry}\n')
    with pytest.raises(ValueError, match="has no reason or no names"):
        audit.explained(tmp_path / "a.toml")
