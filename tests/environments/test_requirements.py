"""Guards environments/requirements.py, and the locks themselves."""

from __future__ import annotations

import re
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stemscribe.environments.interpreter import SUPPORTED, Interpreter, dotted
from stemscribe.environments.profile import torch_profiles
from stemscribe.environments.requirements import Lock, Pin, check_wheels, lock_tool, pins, relock, select
from stemscribe.errors import EnvironmentBroken

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOCKS = ["core", "tests"]
DEMUCS_SOURCES = [
    ("pinned", "requirements-demucs.txt"),
    ("pinned", "requirements/demucs-pinned.in"),
    ("modern", "requirements/demucs-modern.in"),
]
SYSTEMS = [
    ("Linux", "linux", "x86_64"),
    ("Darwin", "darwin", "arm64"),
    ("Darwin", "darwin", "x86_64"),
    ("Windows", "win32", "AMD64"),
]
MACHINES = [
    {
        "python_version": dotted(minor),
        "python_full_version": f"{dotted(minor)}.0",
        "implementation_name": "cpython",
        "platform_system": system,
        "sys_platform": platform,
        "platform_machine": machine,
    }
    for minor in SUPPORTED
    for system, platform, machine in SYSTEMS
]


def in_words(machine):
    return f"{machine['sys_platform']}-{machine['platform_machine']}-{machine['python_version']}"


@pytest.fixture
def pyproject(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def text_of(root, lock):
    return (root / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")


def held(text, machine):
    """The versions that a lock holds for a machine, by name."""
    locked = [(pin, Requirement(f"{pin.name}; {pin.marker}" if pin.marker else pin.name)) for pin in pins(text)]
    return {pin.name: pin.version for pin, one in locked if one.marker is None or one.marker.evaluate(machine)}


def asked(pyproject, lock):
    project = pyproject["project"]
    extra = project["optional-dependencies"]["tests"] if lock == "tests" else []
    return [Requirement(text) for text in [*project["dependencies"], *extra, *pyproject["build-system"]["requires"]]]


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("machine", MACHINES, ids=in_words)
def test_a_lock_holds_what_the_project_asks_for(root, pyproject, lock, machine):
    versions = held(text_of(root, lock), machine)
    for requirement in asked(pyproject, lock):
        if requirement.marker is None or requirement.marker.evaluate(machine):
            version = versions.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement} is not in {lock}.txt; run ./bootstrap.sh lock"
            assert requirement.specifier.contains(version), f"{lock}.txt holds {requirement.name} {version}"


@pytest.mark.parametrize("machine", MACHINES, ids=in_words)
def test_the_tests_run_with_the_versions_of_the_core(root, machine):
    core, tests = (held(text_of(root, lock), machine) for lock in LOCKS)
    assert core.items() <= tests.items()


@pytest.mark.parametrize("lock", [*LOCKS, "demucs-pinned", "demucs-modern"])
def test_a_lock_has_hashes_for_all_and_names_no_index(root, lock):
    text = text_of(root, lock)
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for pin in pins(text) for value in pin.hashes)
    assert all(pin.hashes for pin in pins(text))
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def requirements_of(path):
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize(("lock", "source"), DEMUCS_SOURCES)
def test_a_lock_of_demucs_holds_what_is_asked_for(root, lock, source):
    recipe = torch_profiles(root)[lock]
    for minor in recipe.pythons:
        for system in recipe.platforms:
            markers = Interpreter(root, (*minor, 0), "cpython", system).markers
            versions = held(text_of(root, f"demucs-{lock}"), markers)
            for requirement in requirements_of(root / source):
                if requirement.marker is None or requirement.marker.evaluate(markers):
                    assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)])


def test_both_recipes_keep_to_their_releases(root):
    markers = Interpreter(root, (3, 11, 7), "cpython", "linux-x86_64").markers
    pinned, modern = (held(text_of(root, f"demucs-{name}"), markers) for name in ("pinned", "modern"))
    assert (pinned["torch"], pinned["torchaudio"], pinned["demucs"]) == ("2.5.1", "2.5.1", "4.0.1")
    assert "torchaudio" not in modern
    assert tuple(map(int, modern["torch"].split(".")[:2])) >= (2, 6)
    assert modern["demucs"].startswith("4.1.")


def test_pins_reads_markers_and_hashes():
    text = "# talk\nav==1.0 ; python_version < '3.11' \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    text += "click==2 --hash=sha256:cc\n"
    assert list(pins(text)) == [
        Pin("av", "1.0", "python_version < '3.11'", ("sha256:aa", "sha256:bb")),
        Pin("click", "2", "", ("sha256:cc",)),
    ]


def test_what_is_not_pinned_is_refused():
    with pytest.raises(ValueError, match="not a pinned requirement: av>=1"):
        list(pins("av>=1"))


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "core.txt").write_text("old\n")
    return tmp_path


def test_locking_needs_uv(checkout):
    with pytest.raises(EnvironmentBroken, match="Locking needs uv"):
        relock(checkout, {}, which=lambda name: None)


def test_a_lock_that_a_platform_cannot_have_is_not_kept(checkout, program):
    uv = program("uv", 'case "$*" in *--only-binary*apple*) echo "error: av has no wheels"; exit 1;; esac')
    with pytest.raises(
        EnvironmentBroken, match=r"macOS 14, Apple silicon with Python 3.10 cannot have all of venv/core "
    ):
        relock(checkout, {}, which=lambda name: str(uv))
    assert [path.name for path in (checkout / "requirements").iterdir()] == ["core.txt"]
    assert (checkout / "requirements" / "core.txt").read_text() == "old\n"


def test_all_locks_are_written(checkout, program):
    uv = program(
        "uv", 'for last; do :; done; case "$*" in *--output-file*) echo "av==1 --hash=sha256:aa" > "$last";; esac'
    )
    told = []
    relock(checkout, {"PATH": "/usr/bin:/bin"}, tell=told.append, which=lambda name: str(uv))
    assert told == [
        "venv/core: wheels for 5 platforms, Python 3.10 to 3.13.",
        "venv/tests: wheels for 5 platforms, Python 3.10 to 3.13.",
        "venv/demucs, profile pinned: wheels for 4 platforms, Python 3.9 to 3.12.",
        "venv/demucs, profile modern: wheels for 4 platforms, Python 3.10 to 3.14.",
    ]
    holds = {"core": "venv/core", "tests": "venv/tests"}
    holds |= {f"demucs-{name}": f"venv/demucs, profile {name}" for name in ("pinned", "modern")}
    for lock, what in holds.items():
        text = text_of(checkout, lock)
        assert text.startswith(f"# Every package of {what}, with its hashes")
        assert list(pins(text)) == [Pin("av", "1", "", ("sha256:aa",))]


def test_only_what_is_named_may_exist_as_source_only(tmp_path, program):
    """uv is asked for all of the lock but those, because it has no option that would leave some out."""
    lock = Lock(tmp_path / "it.txt", "venv/it", (), built=("demucs",))
    lock.path.write_text("# talk\ndemucs==4 \\\n    --hash=sha256:aa\nnumpy==2 \\\n    --hash=sha256:bb\n")
    uv = program("uv", f'for last; do :; done; cat "$last" > "{tmp_path}/seen"')
    tool = lock_tool(tmp_path / "log" / "lock.log", {"PATH": "/usr/bin:/bin"})
    check_wheels(tool, str(uv), lock, lock.path, "x86_64-apple-darwin", (3, 12))
    assert (tmp_path / "seen").read_text() == "numpy==2 \\\n    --hash=sha256:bb\n"


def test_a_part_of_a_lock_is_a_lock(root):
    text = text_of(root, "demucs-pinned")
    part = select(text, lambda name: name in {"torch", "setuptools"})
    assert list(pins(part)) == [pin for pin in pins(text) if pin.name in {"torch", "setuptools"}]
    assert {pin.name for pin in pins(part)} == {"torch", "setuptools"}
