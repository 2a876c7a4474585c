"""Guards environments/installer.py: what is asked of the tools. That they do it, test_manager.py shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from stemscribe.environments.installer import Pip, Uv, best_installer


class Recorder:
    def __init__(self):
        self.commands = []

    def run(self, *command):
        self.commands.append(command)


@pytest.mark.parametrize("installer", [Pip(), Uv("/bin/uv")], ids=["pip", "uv"])
def test_hashes_are_required_and_nothing_is_compiled(installer):
    recorder = Recorder()
    installer.install(Path("venv"), Path("core.txt"), recorder)
    (command,) = recorder.commands
    assert "--require-hashes" in command
    assert command[command.index("--only-binary") + 1] == ":all:"
    assert command[-1] == "core.txt"


@pytest.mark.parametrize("installer", [Pip(), Uv("/bin/uv")], ids=["pip", "uv"])
def test_what_is_built_has_hashes_and_is_built_with_what_is_there(installer):
    recorder = Recorder()
    installer.build(Path("venv"), Path("sources.txt"), recorder)
    (command,) = recorder.commands
    assert {"--no-deps", "--require-hashes", "--no-build-isolation"} <= set(command)
    assert command[-1] == "sources.txt"


@pytest.mark.parametrize("installer", [Pip(), Uv("/bin/uv")], ids=["pip", "uv"])
def test_another_index_gives_exact_wheels_and_nothing_beside(installer):
    recorder = Recorder()
    installer.install_from(Path("venv"), "https://index", ["torch==2.5.1+cpu"], recorder)
    (command,) = recorder.commands
    assert "--no-deps" in command
    assert command[command.index("--index-url") + 1] == "https://index"
    assert command[command.index("--only-binary") + 1] == ":all:"
    assert command[-1] == "torch==2.5.1+cpu"


def test_uv_removes_what_a_whole_lock_does_not_name_but_not_what_a_part_of_it_does_not():
    recorder = Recorder()
    for alone in (True, False):
        Uv("/bin/uv").install(Path("venv"), Path("core.txt"), recorder, alone=alone)
    assert [command[2] for command in recorder.commands] == ["sync", "install"]


@pytest.mark.parametrize("installer", [Pip(), Uv("/bin/uv")], ids=["pip", "uv"])
def test_the_project_needs_no_network(installer):
    recorder = Recorder()
    installer.install_project(Path("venv"), Path("project"), recorder)
    (command,) = recorder.commands
    assert {"--no-deps", "--no-index", "--no-build-isolation"} <= set(command)
    assert command[-2:] == ("--editable", "project")


def test_uv_is_taken_when_it_is_there():
    assert best_installer({"uv": "/bin/uv"}.get) == Uv("/bin/uv")
    assert best_installer({}.get) == Pip()
