"""Guards environments/interpreter.py."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from stemscribe.environments import interpreter
from stemscribe.environments.interpreter import Interpreter, base_of, choose, examine
from stemscribe.errors import EnvironmentBroken


def imitation(program, name, version):
    """A program that answers as a Python of this version would."""
    return program(name, f"echo /somewhere/{name}; echo '{version}'; echo cpython; echo linux-x86_64")


def test_examine_asks_the_interpreter_itself():
    found = examine(Path(sys.executable))
    assert found is not None
    assert found.version == sys.version_info[:3]
    assert found.implementation == sys.implementation.name


@pytest.mark.parametrize("body", ["exit 1", "echo nonsense"])
def test_what_does_not_answer_is_no_interpreter(program, body):
    assert examine(program("python3.12", body)) is None
    assert examine(Path("/no/such/python")) is None


def test_the_requested_python_wins(program):
    path = imitation(program, "mine", "3 12 4")
    assert choose(str(path), which=lambda name: name).version == (3, 12, 4)


@pytest.mark.parametrize("version", ["3 9 18", "3 14 0"])
def test_the_newest_supported_python_is_found_when_the_running_one_is_not_supported(monkeypatch, program, version):
    running = imitation(program, "running", version)
    on_path = {name: str(imitation(program, name, f"3 {name[8:]} 1")) for name in ("python3.10", "python3.12")}
    on_path["python3.13"] = str(program("python3.13", "exit 127"))  # a shim of pyenv for a version that is not active
    monkeypatch.setattr(interpreter, "base_of", lambda *_: running)
    assert choose(None, which=on_path.get).version == (3, 12, 1)


def test_says_which_pythons_would_do():
    with pytest.raises(EnvironmentBroken) as failure:
        choose(None, which=lambda name: None, minors=((3, 98), (3, 99)))
    running = ".".join(map(str, sys.version_info[:3]))
    assert failure.value.message == (
        f"stemscribe needs Python 3.98 to 3.99; this is Python {running}, "
        "and no python3.98, python3.99 was found on the PATH."
    )
    assert failure.value.hint == (
        "Install one of them, or name one that you have: STEMSCRIBE_PYTHON=/path/to/python3.12 ./bootstrap.sh"
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exit 1", "which does not start."),
        (
            "echo /p; echo 3 9 18; echo cpython; echo linux-x86_64",
            "which is cpython 3.9.18; stemscribe needs CPython 3.10 to 3.13.",
        ),
        (
            "echo /p; echo 3 11 9; echo pypy; echo linux-x86_64",
            "which is pypy 3.11.9; stemscribe needs CPython 3.10 to 3.13.",
        ),
    ],
)
def test_a_requested_python_that_will_not_do_is_refused(program, body, reason):
    path = program("mine", body)
    with pytest.raises(EnvironmentBroken) as failure:
        choose(str(path), which=lambda name: name)
    assert failure.value.message == f"STEMSCRIBE_PYTHON names {path}, {reason}"


def test_a_venv_knows_what_it_was_made_with(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "python3").touch()
    (tmp_path / "pyvenv.cfg").write_text(f"home = {home}\nversion = 3.11.7\n")
    assert base_of(tmp_path, tmp_path / "bin" / "python", (3, 11)) == home / "python3"
    (home / "python3.11").touch()
    assert base_of(tmp_path, tmp_path / "bin" / "python", (3, 11)) == home / "python3.11"


def test_outside_of_a_venv_a_python_is_its_own_base(tmp_path):
    assert base_of(tmp_path, Path("/some/python"), (3, 11)) == Path("/some/python")


def test_only_cpython_is_supported():
    assert Interpreter(Path("p"), (3, 11, 0), "cpython", "linux-x86_64").supported
    assert not Interpreter(Path("p"), (3, 11, 0), "pypy", "linux-x86_64").supported


def test_an_old_python_can_read_the_package(root):
    """It runs under whatever `python3` there is, be it to say that this one is too old."""
    package = root / "src" / "stemscribe"
    shared = [package / f"{name}.py" for name in ("__init__", "errors", "wording")]
    sources = [*(package / "environments").glob("*.py"), *shared]
    for source in sources:
        tree = ast.parse(source.read_text(encoding="utf-8"), feature_version=(3, 8))
        imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        tops = {str(name).partition(".")[0] for name in imported}
        assert tops <= set(sys.stdlib_module_names) | {"stemscribe"}, source
        within = {str(name) for name in imported if str(name).startswith("stemscribe.")}
        # The recipes for venv/demucs are read where TOML can be; what asks for them makes sure of it.
        allowed = (
            *("stemscribe.environments", "stemscribe.errors", "stemscribe.wording"),
            *(["stemscribe.toml"] * (source.stem == "profile")),
        )
        assert all(name.startswith(allowed) for name in within), source
        assert "stemscribe.toml" not in {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}, source
