"""A job from a stranger, and an `out/` that others can write: nothing is written, deleted or read outside of a job."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from pipeline.conftest import NOWHERE, UNREHEARSED, folder, models, stages
from security.conftest import everything_below
from security.test_media import pipe, playlist, watching
from stemscribe.audio.probe import probe
from stemscribe.errors import MediaError, RecordError
from stemscribe.jobs.folder import create, find
from stemscribe.pipeline import rehearsal
from stemscribe.pipeline.runner import run

__all__ = ["folder", "models", "pipe", "stages"]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="plants links as POSIX has them")

# Every fixed name that a job has, and what of it is a folder.
FILES = ["pipeline.log", "rehearsal.log", ".lock", "manifest.json", "one_folder/stage.log", "one_folder/one.txt"]
FOLDERS = ["one_folder", "one_folder/.draft", "one_folder/.scratch", ".rehearsal-planted", ".planted.part"]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of somebody's, in which everything has the names that a job would write."""
    home = tmp_path / "victim"
    for name in ("file", "one.txt", "stage.log", ".draft/one.txt", ".scratch/windows.f32", "a.json"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("mine")
    return home


def content_of(home: Path) -> dict[str, str]:
    return {name: (home / name).read_text() for name in everything_below(home) if (home / name).is_file()}


@pytest.mark.parametrize("name", FILES + FOLDERS)
def test_link_in_a_job_is_refused_and_nothing_is_written_where_it_leads(folder, stages, models, victim, name):
    before = content_of(victim)
    planted = folder.path / name
    planted.parent.mkdir(exist_ok=True)
    planted.symlink_to(victim if name in FOLDERS else victim / "file")
    with pytest.raises(Exception, match=r"is a link, or no file at all|Could not write") as caught:
        run(folder, models, NOWHERE, rules=UNREHEARSED)
    assert caught.value.hint
    assert content_of(victim) == before
    assert not stages[0].runs


@pytest.mark.parametrize("name", FILES + FOLDERS)
def test_link_that_leads_nowhere_makes_no_file_there(folder, stages, models, tmp_path, name):
    planted = folder.path / name
    planted.parent.mkdir(exist_ok=True)
    planted.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Exception, match=r"is a link, or no file at all|Could not write"):
        run(folder, models, NOWHERE, rules=UNREHEARSED)
    assert not (tmp_path / "nowhere").exists()


def test_link_anywhere_in_a_job_is_refused(folder, stages, models, victim):
    """A separation opens its journal in place, and cuts off what is not its own."""
    deep = folder.path / "one_folder" / ".scratch" / "0123456789abcdef"
    deep.mkdir(parents=True)
    (deep / "windows.f32").symlink_to(victim / "file")
    with pytest.raises(RecordError, match=r"windows\.f32 is a link"):
        run(folder, models, NOWHERE, rules=UNREHEARSED)
    assert (victim / "file").read_text() == "mine"


def test_pipe_in_the_place_of_an_artefact_is_not_waited_for(folder, stages, models):
    run(folder, models, NOWHERE, rules=UNREHEARSED)
    artefact = folder.path / "one_folder" / "one.txt"
    artefact.unlink()
    os.mkfifo(artefact)
    with pytest.raises(RecordError, match=r"one\.txt is a link, or no file at all"):
        run(folder, models, NOWHERE, rules=UNREHEARSED)


def test_job_that_was_copied_by_hard_links_is_run(folder, stages, models):
    """What jobs share, they share by hard links: these are no reason to refuse."""
    made = run(folder, models, NOWHERE, rules=UNREHEARSED).artefacts["one"]
    os.link(made, folder.path / "one_folder" / "second name")
    run(folder, models, NOWHERE, rules=UNREHEARSED)


@pytest.mark.parametrize("path", ["../../victim/file", "/etc/passwd", "one_folder/../../x", "C:\\x", ""])
def test_manifest_that_points_elsewhere_is_refused(folder, stages, models, path):
    run(folder, models, NOWHERE, rules=UNREHEARSED)
    manifest = folder.path / "manifest.json"
    text = manifest.read_text()
    assert '"one_folder/one.txt"' in text
    manifest.write_text(text.replace("one_folder/one.txt", path.replace("\\", "\\\\")))
    with pytest.raises(RecordError, match="which is no file of this job"):
        run(folder, models, NOWHERE, rules=UNREHEARSED)


@pytest.mark.parametrize("media", ["/etc/passwd", "/dev/zero", "/proc/self/environ", "http://127.0.0.1/x.mp4", "-i"])
def test_job_whose_film_is_none_is_refused(folder, stages, models, media):
    request = folder.path / "job.json"
    request.write_text(request.read_text().replace(folder.job.media, media))
    with pytest.raises(MediaError):
        run(folder, models, NOWHERE, rules=UNREHEARSED)
    assert not stages[0].runs


def test_results_of_another_user_are_not_taken_over(folder, stages, models, monkeypatch):
    run(folder, models, NOWHERE, rules=UNREHEARSED)
    second = create(folder.path.parent, folder.job)
    with monkeypatch.context() as somebody_else:
        somebody_else.setattr(os, "getuid", lambda: 12345)
        run(second, models, NOWHERE, rules=UNREHEARSED)
    assert stages[0].runs == 2
    run(create(folder.path.parent, folder.job), models, NOWHERE, rules=UNREHEARSED)
    assert stages[0].runs == 2


def test_link_at_the_name_of_the_rehearsals_is_not_written_through(folder, stages, models, victim, monkeypatch):
    monkeypatch.setattr(rehearsal, "KEPT", 0)
    (folder.path.parent / rehearsal.CACHE).symlink_to(victim)
    before = content_of(victim)
    expected = rehearsal.Expectation(1.0, 1.0, 1, 1)
    one = rehearsal.Rehearsal(folder, folder.job, None, models, NOWHERE)  # type: ignore[arg-type]
    one._keep(folder.path.parent / rehearsal.CACHE / "key.json", expected)
    assert content_of(victim) == before


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_what_is_written_follows_the_umask_and_is_never_a_program(folder, stages, models, mask):
    before = os.umask(mask)
    try:
        made = create(folder.path.parent, folder.job)
        run(made, models, NOWHERE, rules=UNREHEARSED)
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in made.path.rglob("*")}
    assert not [path for path, mode in modes.items() if mode & ~0o777 or mode & mask]
    assert not [path for path, mode in modes.items() if path.is_file() and mode & 0o111]


def test_job_is_found_by_its_folder_and_not_by_a_link_to_its_request(tmp_path, folder):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder.path, elsewhere)
    assert find(folder.path.parent, str(elsewhere)).path == elsewhere


@pytest.mark.parametrize("ending", ["mp4", "m3u8", "mkv"])
@pytest.mark.parametrize("kind", ["concat", "hls", "hls by file:"])
def test_playlist_opens_no_other_file(tmp_path, pipe, kind, ending):
    path = tmp_path / f"film.{ending}"
    by_file = f"file:{pipe}" if kind.endswith("file:") else str(pipe)
    path.write_text(playlist(by_file) if kind.startswith("hls") else "ffconcat version 1.0\nfile secret.ts\n")
    with watching(pipe) as opened, pytest.raises(MediaError, match="is a playlist, not a film"):
        probe(path)
    assert not opened
