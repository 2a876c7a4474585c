"""Guards environments/replacement.py, and the replacing and taking over of environments by the manager."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stemscribe.environments import manager as manager_module
from stemscribe.environments import replacement
from stemscribe.environments.installed import site_packages
from stemscribe.environments.interpreter import python_in
from stemscribe.environments.marker import is_claimed, made_from, read_marker, written_at
from stemscribe.environments.profile import CpuBuild
from stemscribe.environments.proof import damaged, first_difference
from stemscribe.environments.replacement import new_beside, old_beside, recover, relocate
from stemscribe.errors import EnvironmentBroken, StorageError

from .conftest import PACKAGE

posix = pytest.mark.skipif(os.name == "nt", reason="forks")


def works(path: Path) -> None:
    """A golden task that is passed."""


def version_in(venv: Path) -> str:
    (info,) = site_packages(venv).glob("tinypackage-*.dist-info")
    return info.name.split("-")[1].removesuffix(".dist")


def leftovers(venv: Path) -> list[Path]:
    return [path for path in (new_beside(venv), old_beside(venv)) if path.exists()]


def test_the_new_one_takes_the_place_when_it_works(workshop):
    manager = workshop.manager()
    manager.ensure(workshop.package("1.0"))
    seen = []
    profile = workshop.package("2.0")
    marker = manager.replace(profile, lambda path: seen.append((path, version_in(path), version_in(workshop.venv))))
    assert seen == [(new_beside(workshop.venv), "2.0", "1.0")]
    assert version_in(workshop.venv) == "2.0"
    assert manager.ready(profile) == marker
    assert leftovers(workshop.venv) == []
    command = [str(python_in(workshop.venv)), "-c", "import sys, tinypackage; print(sys.prefix)"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == f"{workshop.venv}\n"


def test_the_old_one_stays_where_the_new_one_does_not_do_its_work(workshop):
    manager, old = workshop.manager(), workshop.package("1.0")
    manager.ensure(old)
    locked = workshop.lock.read_text()

    def fails(path: Path) -> None:
        raise EnvironmentBroken("It separates nothing.")

    with pytest.raises(EnvironmentBroken, match="It separates nothing"):
        manager.replace(workshop.package("2.0"), fails)
    workshop.lock.write_text(locked)
    assert manager.ready(old) is not None
    assert leftovers(workshop.venv) == []


def test_the_old_one_stays_where_the_new_one_cannot_be_proven(workshop):
    manager = workshop.manager()
    manager.ensure(workshop.package("1.0"))
    with pytest.raises(EnvironmentBroken, match="cannot be imported"):
        manager.replace(workshop.package("2.0", "raise OSError('broken')"), works)
    assert version_in(workshop.venv) == "1.0"
    assert leftovers(workshop.venv) == []


def test_what_is_not_there_can_be_replaced_too(workshop):
    assert workshop.manager().replace(workshop.package("1.0"), works).versions == {"tinypackage": "1.0"}
    assert is_claimed(workshop.venv)


def test_a_linked_folder_stays_a_link(workshop, tmp_path):
    """The environment lies on a roomier disk."""
    roomy = tmp_path / "roomy" / "tiny"
    roomy.mkdir(parents=True)
    workshop.venv.parent.mkdir()
    workshop.venv.symlink_to(roomy, target_is_directory=True)
    manager, profile = workshop.manager(), workshop.package("1.0")
    manager.ensure(profile)
    manager.replace(workshop.package("2.0"), works)
    assert (workshop.venv.is_symlink(), version_in(roomy)) == (True, "2.0")
    assert manager.ready(workshop.profile(("tinypackage", "tinypackage"))) is not None


@posix
def test_windows_does_not_try_to_replace_what_is_at_work(workshop, monkeypatch):
    monkeypatch.setattr(manager_module.os, "name", "nt")
    monkeypatch.setattr(manager_module.sys, "prefix", str(workshop.venv))
    monkeypatch.setattr(manager_module, "Path", type(workshop.venv))
    with pytest.raises(EnvironmentBroken, match="cannot be replaced while it is at work") as error:
        workshop.manager()._replace(workshop.package("1.0"), works, 0)
    assert error.value.hint == "Run `.\\bootstrap.ps1 --env tiny --force`."


# Where the process dies: before or after the nth call of a function.
DEATHS = [
    ("relocate", 1, "before"),
    ("relocate", 1, "after"),
    ("claim", 1, "after"),
    ("rename", 1, "before"),
    ("rename", 1, "after"),
    ("rename", 2, "before"),
    ("rename", 2, "after"),
    ("remove_marker", 1, "after"),
    ("rmtree", 1, "before"),
    ("rmtree", 1, "amid"),
    ("rmtree", 1, "after"),
]


def die(when: tuple[str, int, str]) -> None:
    """Let this process die at some point of `put_in_place`."""
    name, nth, moment = when
    owner = {"rename": Path, "rmtree": shutil}.get(name, replacement)
    original, calls = getattr(owner, name), []

    def deadly(*args, **kwargs):
        calls.append(args)
        if len(calls) < nth:
            return original(*args, **kwargs)
        if moment == "after":
            original(*args, **kwargs)
        if moment == "amid":  # some of its packages are gone, the rest is not
            original(site_packages(args[0]))
        os._exit(9)

    setattr(owner, name, deadly)


@posix
@pytest.mark.parametrize("when", DEATHS, ids=lambda when: "-".join(map(str, when)))
def test_whenever_it_is_killed_one_of_the_two_is_whole(workshop, when):
    manager = workshop.manager()
    manager.ensure(workshop.package("1.0"))
    profile = workshop.package("2.0")

    def golden(path: Path) -> None:
        die(when)

    process = multiprocessing.get_context("fork").Process(target=lambda: manager.replace(profile, golden))
    process.start()
    process.join()
    assert process.exitcode == 9

    recover(workshop.venv)
    assert leftovers(workshop.venv) == []
    assert version_in(workshop.venv) in {"1.0", "2.0"}
    if version_in(workshop.venv) == "2.0":
        assert manager.ready(profile) is not None
    command = [str(python_in(workshop.venv)), "-c", "import tinypackage"]
    assert subprocess.run(command).returncode == 0
    assert manager.ensure(profile).versions == {"tinypackage": "2.0"}


def test_what_is_not_claimed_for_the_place_is_not_put_there(workshop):
    """Killed after the proof, before its programs were told their new place; and what was there before is gone."""
    manager, profile = workshop.manager(), workshop.package("1.0")
    manager.ensure(profile)
    shutil.copytree(workshop.venv, new_beside(workshop.venv), symlinks=True)
    replacement.claim(new_beside(workshop.venv))
    shutil.rmtree(workshop.venv)
    recover(workshop.venv)
    assert not workshop.venv.exists()
    assert leftovers(workshop.venv) == []


def test_the_old_one_goes_back_where_the_new_one_is_not_whole(workshop):
    manager, profile = workshop.manager(), workshop.package("1.0")
    manager.ensure(profile)
    workshop.venv.rename(old_beside(workshop.venv))
    new_beside(workshop.venv).mkdir()
    recover(workshop.venv)
    assert manager.ready(profile) is not None
    assert leftovers(workshop.venv) == []


def test_a_half_removed_environment_is_never_put_back(workshop):
    """Killed while the old one was removed, and then the user removes the new one."""
    manager, profile = workshop.manager(), workshop.package("1.0")
    manager.ensure(profile)
    shutil.copytree(workshop.venv, old_beside(workshop.venv), symlinks=True)
    replacement.remove_marker(old_beside(workshop.venv))
    shutil.rmtree(site_packages(old_beside(workshop.venv)))
    shutil.rmtree(workshop.venv)
    assert manager.ensure(profile).versions == {"tinypackage": "1.0"}


def test_an_environment_that_cannot_be_renamed_leaves_the_old_one(workshop, monkeypatch):
    manager = workshop.manager()
    manager.ensure(workshop.package("1.0"))
    rename = Path.rename

    def refuse(path, target):
        if path == new_beside(workshop.venv):
            raise PermissionError(13, "Permission denied", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        manager.replace(workshop.package("2.0"), works)
    assert version_in(workshop.venv) == "1.0"
    assert leftovers(workshop.venv) == []


@posix
def test_programs_name_their_new_place_and_count_as_whole(tmp_path):
    """pip records size and hash of every program, and the first line of a program names its environment."""
    venv, place = tmp_path / ".it.new", tmp_path / "it"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    program = venv / "bin" / "tool"
    program.write_text(f"#!{venv}/bin/python\nprint('works')\n")
    program.chmod(0o755)
    info = site_packages(venv) / "tool-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n")
    size = program.stat().st_size
    (info / "RECORD").write_text(f"../../../bin/tool,sha256=abc,{size}\ntool-1.0.dist-info/METADATA,,\n")
    relocate(venv, place)
    venv.rename(place)
    assert subprocess.run([place / "bin" / "tool"], capture_output=True, text=True).stdout == "works\n"
    assert ".it.new" not in (place / "bin" / "activate").read_text()
    assert os.access(place / "bin" / "tool", os.X_OK)
    command = [str(python_in(place)), "-I", Path(damaged.__code__.co_filename)]
    assert subprocess.run(command, capture_output=True, text=True).stdout == (
        '{"versions": {}, "failures": {}, "damaged": {}}'
    )
    assert first_difference is not None


def by_hand(workshop, version: str, source: str = "") -> None:
    """The environment as a user would make it, without us."""
    profile = workshop.package(version, source)
    workshop.manager().ensure(profile)
    for name in ("stemscribe-environment.json", "stemscribe-location.txt"):
        (workshop.venv / name).unlink()


def test_what_was_made_by_hand_is_taken_over_when_it_is_what_it_should_be(workshop):
    by_hand(workshop, "1.0")
    (workshop.venv / "kept").touch()
    workshop.said.clear()
    profile = workshop.package("1.0")
    marker = workshop.manager().ensure(profile)
    assert workshop.said == ["venv/tiny was made by hand, and is what it should be: taking it over."]
    assert (marker.installer, marker.versions) == ("hand", {"tinypackage": "1.0"})
    assert (workshop.venv / "kept").exists()
    assert workshop.manager().ready(profile) == marker


def test_what_was_made_by_hand_with_other_versions_is_replaced(workshop):
    by_hand(workshop, "1.0")
    (workshop.venv / "gone").touch()
    workshop.said.clear()
    workshop.manager().ensure(workshop.package("2.0"))
    assert workshop.said[0] == (
        "venv/tiny was made by hand, and tinypackage is 1.0 and should be 2.0; it is going to be replaced."
    )
    assert version_in(workshop.venv) == "2.0"
    assert not (workshop.venv / "gone").exists()
    assert leftovers(workshop.venv) == []


def test_what_matters_most_is_named_first(workshop):
    by_hand(workshop, "1.0")
    profile = workshop.package("2.0")
    others = "".join(f"a{number}==1 --hash=sha256:{'0' * 64}\n" for number in range(4))
    workshop.lock.write_text(others + workshop.lock.read_text())
    workshop.said.clear()
    with pytest.raises(Exception, match=r"No such file|could not be made"):
        workshop.manager().ensure(profile)
    assert workshop.said[0] == (
        "venv/tiny was made by hand, and tinypackage is 1.0 and should be 2.0; a0 is missing and should be 1; "
        "a1 is missing and should be 1 (and 2 more); it is going to be replaced."
    )


def test_what_was_made_by_hand_stays_while_nothing_better_can_be_made(workshop):
    by_hand(workshop, "1.0")
    with pytest.raises(EnvironmentBroken):
        workshop.manager().ensure(workshop.package("2.0", "raise OSError('broken')"))
    assert version_in(workshop.venv) == "1.0"
    assert read_marker(workshop.venv) is None


def test_what_was_made_by_hand_and_does_not_work_is_replaced(workshop):
    by_hand(workshop, "1.0")
    profile = workshop.package("1.0")
    next(workshop.venv.rglob("tinypackage.py")).write_text("# longer")
    workshop.said.clear()
    workshop.manager().ensure(profile)
    assert workshop.said[0].startswith("venv/tiny was made by hand, and Error: tinypackage is not whole")
    assert next(workshop.venv.rglob("tinypackage.py")).read_text() == ""


def test_what_only_builds_may_be_of_any_version(workshop):
    by_hand(workshop, "1.0")
    profile = replace(workshop.package("2.0"), builders=("tinypackage",))
    assert workshop.manager().ensure(profile).installer == "hand"


def test_another_recipe_replaces_what_the_first_one_made(workshop):
    manager = workshop.manager()
    manager.ensure(replace(workshop.package("1.0"), name="pinned", environment="tiny"))
    (workshop.venv / "stale").touch()
    workshop.said.clear()
    marker = manager.ensure(replace(workshop.package("2.0"), name="modern", environment="tiny"))
    assert workshop.said[0] == "venv/tiny is going to be made from the profile modern now."
    assert (marker.profile, version_in(workshop.venv)) == ("modern", "2.0")
    assert not (workshop.venv / "stale").exists()


def close(folder: Path) -> None:
    """Take all rights on a folder, as a broken installation or a careless `chmod` does."""
    folder.chmod(0)


def test_an_old_one_with_a_closed_folder_is_removed_all_the_same(workshop, as_anybody):
    manager = workshop.manager()
    manager.ensure(workshop.package("1.0"))
    closed = site_packages(workshop.venv) / "closed"
    (closed / "deep").mkdir(parents=True)
    (closed / "deep" / "file").touch()
    close(closed / "deep")
    close(closed)
    profile = workshop.package("2.0")
    assert as_anybody(lambda: manager.replace(profile, works)).versions == {"tinypackage": "2.0"}
    assert leftovers(workshop.venv) == []


@pytest.mark.parametrize("folder", ["", "bin", "lib"])
def test_a_closed_environment_is_built_from_empty(workshop, as_anybody, folder):
    manager, profile = workshop.manager(), workshop.package("1.0")
    manager.ensure(profile)
    close(workshop.venv / folder)
    assert as_anybody(lambda: manager.ensure(profile)).versions == {"tinypackage": "1.0"}
    close(workshop.venv / folder)
    assert as_anybody(lambda: manager.ensure(profile, force=True)).versions == {"tinypackage": "1.0"}


def test_what_cannot_be_removed_is_told_and_stops_nobody(workshop, monkeypatch):
    """It belongs to another user. The new one is in its place and works."""
    manager = workshop.manager()
    manager.ensure(workshop.package("1.0"))
    remove, old = replacement._remove, old_beside(workshop.venv)

    def refuse(path):
        if path == old:
            raise PermissionError(13, "Permission denied", str(path / "lib"))
        remove(path)

    monkeypatch.setattr(replacement, "_remove", refuse)
    profile = workshop.package("2.0")
    workshop.said.clear()
    marker = manager.replace(profile, works)
    told = f"{old} cannot be removed (Permission denied: {old / 'lib'}). Nothing uses it: remove it."
    assert told in workshop.said
    assert (version_in(workshop.venv), manager.ready(profile)) == ("2.0", marker)
    assert manager.ensure(profile, check=True) == marker
    with pytest.raises(StorageError, match="is in the way") as error:
        manager.replace(profile, works)
    assert (error.value.hint, version_in(workshop.venv)) == ("Remove it.", "2.0")


def test_what_another_process_has_made_anew_is_left_as_it_is(workshop):
    """Two doctors find the same fault; the second one has waited for the first."""
    manager, profile, built = workshop.manager(), workshop.package("1.0"), []
    manager.ensure(profile)
    seen = written_at(workshop.venv)
    first = manager.replace(profile, built.append, seen=seen)
    os.utime(workshop.venv / "stemscribe-environment.json", (seen + 5, seen + 5))  # clocks may be coarse
    workshop.said.clear()
    assert manager.replace(profile, built.append, seen=seen) == first
    assert (len(built), workshop.said) == (1, ["venv/tiny was made anew by another process."])
    manager.replace(profile, built.append, seen=seen + 5)
    assert len(built) == 2


def test_what_was_made_by_hand_may_be_newer_where_the_recipe_has_a_range(workshop):
    """`pip install -r requirements-demucs.txt` takes the newest of what is named by a range."""
    by_hand(workshop, "1.0")
    profile = replace(workshop.package("2.0"), exact=("torch",))
    marker = workshop.manager().ensure(profile)
    assert (marker.installer, marker.versions, version_in(workshop.venv)) == ("hand", {"tinypackage": "1.0"}, "1.0")
    workshop.said.clear()
    assert workshop.manager().ensure(profile) == marker
    assert workshop.manager().ensure(profile, check=True) == marker
    assert workshop.said == []


def test_what_was_made_by_hand_from_a_build_for_cpus_may_lack_what_a_gpu_needs(workshop):
    by_hand(workshop, "2.5.1+cpu")
    profile = workshop.package("2.5.1+cpu")
    workshop.lock.write_text(f"{PACKAGE}==2.5.1\nnvidia-nccl==1\n")
    build = CpuBuild("http://127.0.0.1:9", (PACKAGE,), ("nvidia-*",), 4.7)
    assert workshop.manager().ensure(replace(profile, cpu=build)).installer == "hand"


def test_an_interrupted_recipe_is_known_and_another_one_replaces_it(workshop):
    manager = workshop.manager()
    modern = replace(workshop.package("1.0", "raise OSError('broken')"), name="modern", environment="tiny")
    with pytest.raises(EnvironmentBroken):
        manager.ensure(modern)
    assert made_from(workshop.venv) == "modern"
    workshop.said.clear()
    marker = manager.ensure(replace(workshop.package("2.0"), name="pinned", environment="tiny"))
    assert workshop.said[0] == "venv/tiny is going to be made from the profile pinned now."
    assert (marker.profile, made_from(workshop.venv)) == ("pinned", "pinned")
