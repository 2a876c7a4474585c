"""Guards the scripts at the root: POSIX and PowerShell twins say the same, and do little."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

SCRIPTS = ["bootstrap", "prepare-job", "run-pipeline", "run-tests"]
HANDS_OVER_TO = {
    "bootstrap": "-m stemscribe.environments",
    "prepare-job": "stemscribe prepare",
    "run-pipeline": "stemscribe run",
    "run-tests": "checks.py",
}
posix = pytest.mark.skipif(os.name == "nt", reason="runs the .sh scripts")


def normalised(text):
    """A script with the spellings of PowerShell brought to those of the shell."""
    text = (
        text.replace("\\", "/")
        .replace(".exe", "")
        .replace('"', "")
        .replace("/Scripts/", "/bin/")
        .replace("@args", '"$@"')
    )
    text = text.replace("python -I -m stemscribe.cli.entry", "stemscribe")  # see decision 0010
    return text.replace("$PSScriptRoot", "$root").replace(".ps1", ".sh").replace('"', "")


@pytest.mark.parametrize("name", SCRIPTS)
def test_twins_name_the_same_commands(root, name):
    shell, power = (normalised((root / f"{name}.{kind}").read_text(encoding="utf-8")) for kind in ("sh", "ps1"))
    commands = r"\$root/(?:venv/\S+|bootstrap\.sh|\.ci/\S+)(?: (?:prepare|run|--env \w+(?: --quiet)?))?"
    assert set(re.findall(commands, shell)) - {"$root/venv/core/bin/python"} == set(re.findall(commands, power))
    assert HANDS_OVER_TO[name] in shell
    assert HANDS_OVER_TO[name] in power
    assert ("STEMSCRIBE_ROOT" in shell) == ("STEMSCRIBE_ROOT" in power)


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("kind", ["sh", "ps1"])
def test_a_script_is_a_few_lines_of_ascii(root, name, kind):
    """Windows PowerShell reads a script without a byte-order mark in the code page of the machine."""
    text = (root / f"{name}.{kind}").read_text(encoding="ascii")
    assert len(text.splitlines()) <= 25


@posix
@pytest.mark.parametrize("path", [*(f"{name}.sh" for name in SCRIPTS), ".ci/run"])
def test_scripts_are_executable_and_parse(root, path):
    assert os.access(root / path, os.X_OK)
    subprocess.run(["bash", "-n", root / path], check=True)


@pytest.fixture
def checkout(root, tmp_path):
    """The scripts, in a folder of their own, with programs that tell how they were called."""
    folder = tmp_path / "a checkout"
    tell = '#!/bin/sh\necho "${0##*/} root=$STEMSCRIBE_ROOT cwd=$PWD" "$@"\n'
    for name in ("prepare-job.sh", "run-pipeline.sh", "run-tests.sh"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text((root / name).read_text())
    stand_ins = {
        "bootstrap.sh": '#!/bin/sh\necho "$@" >&2\n',
        "venv/core/bin/stemscribe": tell,
        "venv/tests/bin/python": tell,
    }
    for name, body in stand_ins.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(body)
    for script in [*folder.glob("*.sh"), *folder.glob("venv/*/bin/*")]:
        script.chmod(0o755)
    return folder


@posix
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(("name", "command"), [("prepare-job", "prepare"), ("run-pipeline", "run")])
def test_a_script_makes_sure_of_its_environment_and_hands_over(checkout, tmp_path, name, command, linked):
    script = checkout / f"{name}.sh"
    if linked:
        (tmp_path / "link").symlink_to(script)
        script = tmp_path / "link"
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    answer = subprocess.run(
        [script, "--media", "a film.mkv"], cwd=elsewhere, capture_output=True, text=True, check=True
    )
    assert answer.stdout == f"stemscribe root={checkout} cwd={elsewhere} {command} --media a film.mkv\n"
    assert answer.stderr == "--env core --quiet\n"


@posix
def test_a_failed_bootstrap_stops_the_script(checkout):
    (checkout / "bootstrap.sh").write_text("#!/bin/sh\nexit 1\n")
    answer = subprocess.run([checkout / "run-pipeline.sh"], capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (1, "")


@pytest.fixture
def bare_path(tmp_path):
    """A PATH with what a shell script needs, and nothing else."""
    tools = tmp_path / "programs"
    tools.mkdir()
    for tool in ("dirname", "readlink", "env", "sh"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    return {"PATH": str(tools)}


def run_bootstrap(root, folder, environ):
    folder.mkdir()
    (folder / "bootstrap.sh").write_text((root / "bootstrap.sh").read_text())
    command = ["/bin/sh", folder / "bootstrap.sh", "--env", "core"]
    return subprocess.run(command, env=environ, capture_output=True, text=True)


@posix
def test_bootstrap_passes_over_pythons_that_do_not_start(root, bare_path, program, tmp_path):
    program("python3", "echo 'shim: not found' >&2; exit 127")
    program("python3.12", 'case "$1" in -S) exit 0;; esac; echo "$@"; echo "$PYTHONPATH"')
    answer = run_bootstrap(root, tmp_path / "a checkout", bare_path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == f"-m stemscribe.environments --env core\n{tmp_path}/a checkout/src\n"


@posix
def test_bootstrap_without_any_python_says_so(root, bare_path, tmp_path):
    answer = run_bootstrap(root, tmp_path / "a checkout", bare_path)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == (
        "[ERROR] No Python was found. Install Python 3.10 to 3.13, or let STEMSCRIBE_PYTHON name it.\n"
    )


@posix
def test_the_front_door_opens_without_any_package(root):
    command = [sys.executable, "-S", "-m", "stemscribe.environments", "--help"]
    answer = subprocess.run(command, env={"PYTHONPATH": str(root / "src")}, capture_output=True, text=True)
    assert answer.returncode == 0
    assert answer.stdout.startswith("usage: bootstrap.sh ")
