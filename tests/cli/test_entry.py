"""Guards cli/entry.py: an environment that was damaged is told in a sentence, wherever it shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stemscribe.cli.entry import damage
from stemscribe.errors import StemscribeError

COMMAND = "from stemscribe.cli.entry import main; main()"
REPAIR = (
    "        Run `./bootstrap.sh --env core --check`: it looks at every file, and installs again what is not whole.\n"
)


def run(damaged: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, with a folder of damaged packages before the whole ones."""
    environ = {**os.environ, "PYTHONPATH": str(damaged), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.run(command, env=environ, cwd=damaged, capture_output=True, text=True, encoding="utf-8")


def break_package(folder: Path, name: str, content: bytes) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "app.py cannot be imported (AttributeError: module 'click' has no attribute 'Group')"),
        (b"def command(", "SyntaxError: '(' was never closed"),
        (b"import lost_module", "lost_module cannot be imported (ModuleNotFoundError: No module named 'lost_module')"),
        (b"open('lost.txt')", "FileNotFoundError: [Errno 2] No such file or directory: 'lost.txt'"),
        (b"\0\0\0\0", "null bytes"),
    ],
    ids=["cut to nothing", "cut short", "a part is missing", "a file of it is missing", "zeros after a power cut"],
)
def test_a_damaged_package_at_the_start_is_a_sentence(tmp_path, content, reason):
    break_package(tmp_path, "click", content)
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("[ERROR] venv/core is damaged: ")
    assert reason in done.stderr
    assert done.stderr.endswith(REPAIR)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.skipif(os.name == "nt", reason="the hint names the other script there")
def test_a_damaged_package_in_the_middle_of_a_command_is_a_sentence(tmp_path):
    """av is imported when a film is opened, long after the command has started."""
    break_package(tmp_path, "av", b"raise ModuleNotFoundError(\"No module named 'av._core'\", name='av._core')")
    (tmp_path / "film.mkv").write_bytes(b"film")
    done = run(tmp_path, "prepare", "--media", "film.mkv", "--workflow", "separate")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "[ERROR] venv/core is damaged: av._core cannot be imported "
        f"(ModuleNotFoundError: No module named 'av._core').\n{REPAIR}"
    )


def test_what_a_stage_failed_with_is_looked_at_too():
    """The runner tells every failure in its own words; what it was caused by is what counts here."""
    try:
        try:
            import no_such_package_at_all  # noqa: F401
        except ImportError as error:
            raise StemscribeError("demux failed: No module named 'no_such_package_at_all'.") from error
    except StemscribeError as failure:
        said = damage(failure)
    assert said is not None
    assert said.startswith("[ERROR] venv/core is damaged: no_such_package_at_all cannot be imported (")


@pytest.mark.parametrize("error", [ValueError("x"), OSError(28, "No space left"), ImportError("install socksio")])
def test_other_errors_are_none_of_it(error):
    with pytest.raises(type(error)) as raised:
        raise error
    assert damage(raised.value) is None


def test_a_whole_environment_answers(tmp_path):
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("stemscribe ")


def test_it_can_be_called_as_a_module(tmp_path):
    """As the scripts for Windows do: programs of a replaced environment name the folder that it was built in."""
    (tmp_path / "click.py").write_text("raise SystemExit('a file beside the film was imported')")
    command = [sys.executable, "-I", "-m", "stemscribe.cli.entry", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("stemscribe ")
