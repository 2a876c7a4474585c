"""Guards environments/drift.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pip._vendor.packaging.markers import Marker

from stemscribe.environments.drift import applies, drift, drifted
from stemscribe.environments.profile import EnvironmentProfile
from stemscribe.environments.requirements import pins

LINUX = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.7",
    "python_version": "3.11",
    "sys_platform": "linux",
}
LOCK = """\
# made by nobody
numpy==2.2.6 ; python_full_version < '3.11' \\
    --hash=sha256:aa
numpy==2.4.6 ; python_full_version >= '3.11' \\
    --hash=sha256:bb
PyYAML==6.0.3 \\
    --hash=sha256:cc
torch==2.5.1
nvidia-nccl-cu12==2.21.5 ; platform_machine == 'x86_64' and sys_platform == 'linux'
colorama==0.4.6 ; sys_platform == 'win32'
"""
INSTALLED = {"numpy": "2.4.6", "pyyaml": "6.0.3", "torch": "2.5.1", "nvidia-nccl-cu12": "2.21.5", "pip": "23.2.1"}


def test_what_is_as_locked_has_not_drifted():
    assert drift(LOCK, INSTALLED, LINUX) == ()


def test_versions_and_gaps_are_told():
    found = drift(LOCK, {**INSTALLED, "torch": "2.9.1", "numpy": ""}, LINUX)
    assert [str(each) for each in found] == [
        "numpy is missing and should be 2.4.6",
        "torch is 2.9.1 and should be 2.5.1",
    ]


def test_the_marker_of_the_other_python_counts_there():
    assert [each.locked for each in drift(LOCK, INSTALLED, {**LINUX, "python_full_version": "3.10.9"})] == ["2.2.6"]


def test_a_build_for_the_cpu_is_the_same_release():
    assert drift("torch==2.5.1\n", {"torch": "2.5.1+cpu"}, LINUX) == ()
    assert drift("torch==2.5.1+cpu\n", {"torch": "2.5.1"}, LINUX)


def test_what_may_be_lacking_is_not_missed():
    lacking = {name: version for name, version in INSTALLED.items() if name != "nvidia-nccl-cu12"}
    assert drift(LOCK, lacking, LINUX, lambda name: name.startswith("nvidia-")) == ()
    assert drift(LOCK, lacking, LINUX)


def test_markers_are_read_as_everybody_reads_them(root):
    markers = {
        pin.marker for lock in (root / "requirements").glob("*.txt") for pin in pins(lock.read_text()) if pin.marker
    }
    assert markers
    for values in (
        LINUX,
        {**LINUX, "python_full_version": "3.10.14", "python_version": "3.10"},
        {**LINUX, "sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
        {**LINUX, "sys_platform": "win32", "platform_system": "Windows", "platform_machine": "AMD64", "os_name": "nt"},
    ):
        for marker in markers:
            assert applies(marker, values) == Marker(marker).evaluate(dict(values)), marker


def test_versions_are_compared_as_numbers():
    assert applies("python_full_version < '3.11'", {"python_full_version": "3.9.1"})
    assert applies("python_version <= '3.9'", {"python_version": "3.9"})
    assert not applies("python_full_version >= '3.11'", {"python_full_version": "3.9.1"})


@pytest.mark.parametrize("marker", ["nothing == '1'", "python_version", "sys_platform = 'x'", "__import__('os')"])
def test_what_is_no_marker_is_refused(marker):
    with pytest.raises(ValueError, match="marker"):
        applies(marker, LINUX)


def test_the_vital_comes_first_and_is_what_is_missing_or_must_be_exact(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("a==1\ngone==1\nnumpy==2\nsetuptools==3\ntorch==2.5.1\n")
    modules = (("torch", "torch"), ("numpy", "numpy"))
    recipe = EnvironmentProfile("pinned", lock, modules, builders=("setuptools",), exact=("torch",))
    installed = {"a": "2", "numpy": "2.1", "torch": "2.6.0"}
    judged = [(each.name, each.vital) for each in drifted(recipe, installed, LINUX)]
    assert judged == [("torch", True), ("gone", True), ("a", False), ("numpy", False)]
    everything = [each.name for each in drifted(replace(recipe, exact=()), installed, LINUX) if each.vital]
    assert everything == ["numpy", "torch", "gone"]
