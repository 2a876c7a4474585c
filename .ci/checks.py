"""Every check that a change must pass, in one go: `./run-tests.sh [pytest arguments]`.

It runs in venv/tests, and lies here and not in the package because users do not need it. A check that fails does not
keep the next from running; the table at the end says which ones to look at.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = "models or torch or alone"
MODELS = ("htdemucs-onnx", "htdemucs-torch", "spleeter", "silero-vad", "whisper-base", "whisper-tiny.en")


@dataclass(frozen=True)
class Check:
    """A program whose exit code says whether all is well.

    Attributes:
        name: what the table calls it.
        command: the program and its arguments.
        required: whether its failure is a failure of the whole; otherwise it is a warning.
        warns: the exit code by which it says itself that something is to be looked at, but nothing has failed.
    """

    name: str
    command: tuple[str, ...]
    required: bool = True
    warns: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of a check."""

    check: Check
    exit_code: int
    seconds: float

    @property
    def verdict(self) -> str:
        """One word for the table."""
        if self.exit_code == 0:
            return "passed"
        return "FAILED" if self.check.required and self.exit_code != self.check.warns else "warning"


def checks(scripts: Path, pytest_arguments: Sequence[str], environ: Mapping[str, str]) -> list[Check]:
    """The checks in their order; the tests are the last, so that pytest's closing line stays in sight.

    All tests are two runs: as many at a time as there are cores, and then one after the other those that need all cores
    themselves: with a real model, or a clock. Asked for certain tests, pytest runs once.

    Args:
        scripts: the folder that holds the programs of venv/tests.
        pytest_arguments: further arguments of pytest.
        environ: under `CI=true` models and venv/demucs must be there; elsewhere what does not need them is run without.
    """
    python = str(scripts / "python")
    under_ci = environ.get("CI", "").lower() in {"true", "1"}
    bootstrap = (python, "-m", "stemscribe.environments", "--quiet", "--env", "demucs")
    return [
        Check("models", (str(scripts / "stemscribe"), "models", "fetch", *MODELS), under_ci),
        Check("venv/demucs", bootstrap, under_ci),
        Check("browser", (python, str(Path(__file__).with_name("browser.py"))), under_ci),
        Check("ruff check", (python, "-m", "ruff", "check", ".")),
        Check("ruff format", (python, "-m", "ruff", "format", "--check", ".")),
        Check("mypy", (python, "-m", "mypy")),
        Check("lint-imports", (str(scripts / "lint-imports"),)),
        Check("pip-audit", (python, str(Path(__file__).with_name("audit.py"))), warns=3),
        *_tests((python, "-m", "pytest"), pytest_arguments),
    ]


def _tests(pytest: tuple[str, ...], arguments: Sequence[str]) -> list[Check]:
    if arguments:
        return [Check("pytest", (*pytest, *arguments))]
    return [
        Check("light tests", (*pytest, "-m", f"not ({HEAVY})", "--numprocesses", "auto")),
        Check("heavy tests", (*pytest, "-m", HEAVY)),
    ]


def say(text: str) -> None:
    """Write a line between those of the checks."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def carry_out(check: Check) -> Outcome:
    """Run a check in the project's folder; what it says goes to the terminal."""
    say(f"[INFO] Running {check.name}...")
    started = time.monotonic()
    try:
        exit_code = subprocess.run(check.command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
    except OSError as error:
        say(f"[ERROR] {check.name} could not be started: {error}")
        exit_code = 127
    outcome = Outcome(check, exit_code, time.monotonic() - started)
    if outcome.verdict == "warning" and not check.required:
        say(f"[WARNING] {check.name} failed; going on without. Tests that need them fail or are skipped.")
    return outcome


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each check: what, how it ended, how long it took."""
    return "\n".join(f"{one.check.name:<14}{one.verdict:<9}{one.seconds:7.1f} s" for one in outcomes)


def main(pytest_arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run all checks; returns 1 when one that is required failed."""
    todo = checks(Path(sys.executable).parent, pytest_arguments, environ)
    outcomes = [carry_out(check) for check in todo]
    say(f"\n{table(outcomes)}")
    return int(any(outcome.verdict == "FAILED" for outcome in outcomes))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], os.environ))
    except KeyboardInterrupt:
        sys.exit(130)
