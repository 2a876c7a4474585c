"""Guards environments/diagnosis.py with what the tools really wrote."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from stemscribe.environments import diagnosis
from stemscribe.environments.diagnosis import Attempt, telling_line
from stemscribe.environments.interpreter import Interpreter

ATTEMPT = Attempt("core", Interpreter(Path("python3"), (3, 11, 7), "cpython", "linux-x86_64"), Path("venv/core.log"))
OUTPUTS = {
    "pip offline": (
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(': Failed to establish a "
        "new connection: [Errno 111] Connection refused')': /simple/anyio/\n"
        "ERROR: Could not find a version that satisfies the requirement anyio==4.16.0 (from versions: none)\n"
        "ERROR: No matching distribution found for anyio==4.16.0\n",
        "the package index could not be reached",
    ),
    "uv offline": (
        "error: Failed to fetch: `…/anyio/`\n  cause: client error (Connect)\n  cause: dns error\n",
        "the package index could not be reached",
    ),
    "pip disk": (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
        "the disk is full",
    ),
    "uv disk": ("error: failed to write\n  cause: No space left on device (os error 28)\n", "the disk is full"),
    "pip hash": (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n",
        "a downloaded package is not the one that the lock names (its hash differs), and was not installed",
    ),
    "uv hash": (
        "error: Failed to download `anyio==4.16.0`\n  cause: Hash mismatch for `anyio==4.16.0`\n",
        "a downloaded package is not the one that the lock names (its hash differs), and was not installed",
    ),
    "certificate": (
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))': /simple/av/\n"
        "ERROR: No matching distribution found for av\n",
        "the package index showed a certificate that is not trusted here",
    ),
    "debian": (
        "The virtual environment was not created successfully because ensurepip is not\navailable.\n"
        "Failing command: venv/core/bin/python3\n",
        "this Python 3.11 has no complete `venv` module",
    ),
    "no venv": ("/usr/bin/python3: No module named venv\n", "this Python 3.11 has no complete `venv` module"),
    "no wheel": (
        "ERROR: No matching distribution found for openvino==2026.4.1\n",
        "a package has no wheel for this platform",
    ),
    "read-only": (
        "error: failed to create directory\n  cause: Permission denied (os error 13)\n",
        "a folder cannot be written",
    ),
    "unknown": ("some talk\nerror: the moon is wrong.\nmore talk\n", "error: the moon is wrong"),
    "silent": ("", "it ended without a word"),
}


@pytest.mark.parametrize("case", OUTPUTS, ids=str)
def test_a_known_cause_is_named(case):
    output, what = OUTPUTS[case]
    failure = ATTEMPT.failed(output)
    assert failure.message == f"venv/core could not be made: {what}. The log is venv/core.log."
    assert failure.hint
    assert "{" not in failure.hint


def test_only_an_unknown_cause_calls_for_building_from_empty():
    assert {case for case, (output, _) in OUTPUTS.items() if not ATTEMPT.failed(output).outside} == {
        "unknown",
        "silent",
    }


def test_a_full_disk_is_seen_even_when_the_tool_keeps_quiet(monkeypatch):
    monkeypatch.setattr(diagnosis.shutil, "disk_usage", lambda path: SimpleNamespace(free=4096))
    failure = ATTEMPT.failed("Error: Command 'python -m ensurepip' returned non-zero exit status 1.\n")
    assert failure.message == "venv/core could not be made: the disk is full. The log is venv/core.log."


def test_debian_is_told_the_package():
    hint = ATTEMPT.failed("No module named ensurepip").hint
    assert hint == (
        "On Debian and Ubuntu: sudo apt install python3.11-venv. Or install uv, or let STEMSCRIBE_PYTHON name another "
        "Python. Then run the same command again."
    )


def test_a_long_line_is_cut():
    assert telling_line("x" * 1000) == "x" * 200 + "…"
