"""Guards environments/tree.py: what changes the stamp of an environment, and what does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from stemscribe.environments.installed import site_packages
from stemscribe.environments.interpreter import python_in
from stemscribe.environments.tree import stamp


@pytest.fixture
def venv(tmp_path):
    path = tmp_path / "it"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
    package = site_packages(path) / "package"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").write_text("answer = 42")
    (package / "data.bin").write_bytes(b"data")
    return path


def change_size(package):
    (package / "data.bin").write_bytes(b"longer data")


def change_content(package):
    """To the same size, at another time."""
    status = (package / "data.bin").stat()
    (package / "data.bin").write_bytes(b"DATA")
    os.utime(package / "data.bin", ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def remove_a_file(package):
    (package / "data.bin").unlink()


def add_a_module(package):
    (package.parent / "numpy.py").touch()


def take_permission(package):
    (package / "data.bin").chmod(0)


def rename(package):
    (package / "data.bin").rename(package / "other.bin")


def lose_the_interpreter(package):
    venv = package.parents[3] if os.name != "nt" else package.parents[2]
    python_in(venv).unlink()


@pytest.mark.parametrize(
    "change",
    [change_size, change_content, remove_a_file, add_a_module, take_permission, rename, lose_the_interpreter],
)
def test_every_change_is_seen(venv, change):
    before = stamp(venv)
    change(site_packages(venv) / "package")
    assert stamp(venv) != before


def test_what_python_does_by_itself_is_not_a_change(venv):
    before = stamp(venv)
    (site_packages(venv) / "package" / "__pycache__" / "it.pyc").write_bytes(b"code")
    (site_packages(venv) / "__pycache__").mkdir()
    assert stamp(venv) == before


def test_a_link_counts_by_where_it_leads(venv):
    link = site_packages(venv) / "package" / "link"
    link.symlink_to("data.bin")
    before = stamp(venv)
    link.unlink()
    link.symlink_to("None.bin")
    assert stamp(venv) != before


def test_an_environment_that_is_not_there_has_a_stamp_too(tmp_path):
    assert stamp(tmp_path / "none") == stamp(tmp_path / "neither")
