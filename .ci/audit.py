"""Known vulnerabilities in what the locks name, as pip-audit finds them: part of `.ci/checks.py`.

What was looked at is explained in advisories.toml. What is new in the locks of the core and of the tests, and fixed in
some release, fails the check: `./bootstrap.sh lock --upgrade` mends it. What no release has fixed is a warning, and
so is whatever is new in the locks of torch, whose releases are pinned for reasons of their own. That nobody answers
is a warning too: no change should wait for a service.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemscribe.environments.requirements import pins
from stemscribe.toml import parse_toml

ROOT = Path(__file__).resolve().parents[1]
KNOWN = Path(__file__).with_name("advisories.toml")
MUST_BE_CLEAN = ("core.txt", "tests.txt")
MAY_WAIT = ("demucs-pinned.txt", "demucs-modern.txt")
# Has been known to be vulnerable since 2025: where nothing is found in it, nothing is being looked for.
PROBE = "torch==2.5.1"
SECONDS = 50.0
WARNING = 3  # exit code


class NoAnswer(Exception):
    """The advisories could not be asked for."""


@dataclass(frozen=True)
class Finding:
    """An advisory about a package in a lock.

    Attributes:
        names: all that it is called: PYSEC, CVE, GHSA.
        fixed_in: versions that do not have it any more.
    """

    package: str
    version: str
    names: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        remedy = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "not fixed in any release"
        return f"{self.package} {self.version}: {', '.join(self.names)} ({remedy})"


Asked = Callable[[Iterable[str], float], list[Finding]]


@dataclass
class Outcome:
    """What was found, in words.

    Attributes:
        silence: why not all could be asked for; empty when it could.
    """

    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    silence: str = ""

    @property
    def exit_code(self) -> int:
        return 1 if self.failures else WARNING if self.warnings or self.silence else 0


def wanted(locks: Iterable[Path]) -> set[str]:
    """What the locks name, for whatever platform and Python."""
    return {f"{pin.name}=={pin.version}" for lock in locks for pin in pins(lock.read_text(encoding="utf-8"))}


def in_rounds(requirements: Iterable[str]) -> list[list[str]]:
    """Requirements in lists in which no package stands twice.

    >>> in_rounds(["a==1", "a==2", "b==1"])
    [['a==1', 'b==1'], ['a==2']]
    """
    rounds: list[dict[str, str]] = []
    for requirement in sorted(requirements):
        package = requirement.partition("==")[0]
        free = next((one for one in rounds if package not in one), None)
        if free is None:
            rounds.append(free := {})
        free[package] = requirement
    return [list(one.values()) for one in rounds]


def ask(requirements: Iterable[str], deadline: float) -> list[Finding]:
    """What pip-audit knows of these.

    Raises:
        NoAnswer: it could not find out in time, or not about all of them.
    """
    found: list[Finding] = []
    for one in in_rounds(requirements):
        report = _report(one, deadline - time.monotonic())
        if unknown := [entry["name"] for entry in report if "skip_reason" in entry]:
            raise NoAnswer(f"nothing is known there of {len(unknown)} of {len(one)} packages ({unknown[0]}, …)")
        found += [
            Finding(entry["name"], entry["version"], (each["id"], *each["aliases"]), tuple(each["fix_versions"]))
            for entry in report
            for each in entry["vulns"]
        ]
    return found


def _report(requirements: list[str], seconds: float) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("\n".join(requirements), encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(file), "--no-deps", "--disable-pip"]
        command += ["--format", "json", "--progress-spinner", "off", "--timeout", "5"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
            report: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
        except (subprocess.TimeoutExpired, ValueError, KeyError, OSError) as error:
            raise NoAnswer(f"{type(error).__name__}") from error
    return report


def explained(path: Path = KNOWN) -> dict[str, frozenset[str]]:
    """What is known and explained: by package, the names of advisories.

    Raises:
        ValueError: an entry has no reason.
    """
    known: dict[str, frozenset[str]] = {}
    for entry in parse_toml(path.read_text(encoding="utf-8"))["advisories"]:
        if not str(entry["why"]).strip() or not entry["names"]:
            raise ValueError(f"{path.name}: an entry of {entry['package']} has no reason or no names")
        known[entry["package"]] = known.get(entry["package"], frozenset()) | set(entry["names"])
    return known


def unexplained(findings: Iterable[Finding], known: Mapping[str, frozenset[str]]) -> list[Finding]:
    """What nobody has looked at yet."""
    return [finding for finding in findings if not known.get(finding.package, frozenset()) & set(finding.names)]


def look(asked: Asked = ask) -> Outcome:
    """What is new in all locks, and what became of asking for it."""
    deadline = time.monotonic() + SECONDS
    known, folder = explained(), ROOT / "requirements"
    clean, waiting = (wanted(folder / name for name in names) for names in (MUST_BE_CLEAN, MAY_WAIT))
    outcome = Outcome()
    try:
        if not asked([PROBE], deadline):
            raise NoAnswer(f"nothing is known there of {PROBE}, which is known to be vulnerable")
        for requirements, must_be_clean in ((clean, True), (waiting - clean, False)):
            for finding in unexplained(asked(requirements, deadline), known):
                (outcome.failures if must_be_clean and finding.fixed_in else outcome.warnings).append(str(finding))
    except NoAnswer as reason:
        outcome.silence = str(reason)
    return outcome


def main() -> int:
    """Look at all locks; 1 when something new can be mended, `WARNING` when it has to wait, or nobody answers."""
    outcome = look()
    lines = [
        f"[WARNING] {finding}: see whether it reaches us, and say so in .ci/advisories.toml."
        for finding in outcome.warnings
    ]
    lines += [
        f"[ERROR] {finding}: run `./bootstrap.sh lock --upgrade`, or say why not in .ci/advisories.toml."
        for finding in outcome.failures
    ]
    if outcome.silence:
        lines.append(f"[WARNING] Advisories could not be asked for, or not for all packages: {outcome.silence}.")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main())
