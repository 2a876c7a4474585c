"""Names that somebody chose to do harm with, and names that only look so: films, folders, titles, all through the
command.

Whatever a film is called: its job is made or it is refused in words, no terminal is driven, and nothing is written but
where it was asked for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fakes import tone, write_film
from stemscribe.jobs.job import Job
from stemscribe.records import read_record

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows forbids most of these names itself")
MAIN = "from stemscribe.cli.app import main; main()"
ESCAPE = "\x1b]0;owned\x07\x1b[31m\x9b2J"
HOSTILE = {
    "newline": "film\n[INFO] ✓ Vocals extracted: nowhere.mkv",
    "quotes": "fi'lm\"`$(touch x)`;&|.mkv",
    "right to left": "film\u202egnp.mkv",
    "emoji": "🎬👨‍👩‍👧 फ़िल्म.mkv",
    "255 bytes": "é" * 125 + "x.mkv",
    "dash": "-o.mkv",
    "dots": "...mkv",
    "no ending": "..film",
    "escapes": f"film{ESCAPE}.mkv",
    "carriage return": "film\r[ERROR]\x08\x7f.mkv",
    "percent": "%s%n{0}%(x)s.mkv",
    "protocol": "concat:a|b.mkv",
    "spaces": " film .mkv ",
}


def stemscribe(*arguments: str | os.PathLike[str], cwd: Path, **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments],
        cwd=cwd,
        env={**os.environ, "STEMSCRIBE_ROOT": str(cwd), "NO_COLOR": "1", "HOME": str(cwd / "home"), **environ},
        capture_output=True,
        check=False,
    )


def tree(folder: Path, but: Path) -> dict[str, int]:
    """Every file below a folder with its size, but for what is below another."""
    found = {}
    for root, folders, files in os.walk(os.fsencode(folder)):
        if root == os.fsencode(but):
            folders.clear()
            continue
        paths = [Path(os.fsdecode(root)) / os.fsdecode(name) for name in files]
        found.update({str(path): path.lstat().st_size for path in paths})
    return found


def assert_harmless(talk: bytes) -> None:
    """Nothing in it drives a terminal or passes for a line of ours."""
    text = talk.decode("utf-8")
    assert all(c == "\n" or c.isprintable() or c in "\u200c\u200d" for c in text), repr(text)
    assert not [line for line in text.split("\n") if line.startswith("[INFO] ✓ Vocals extracted: nowhere")]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = write_film(tmp_path_factory.mktemp("film") / "film.mkv", [(tone(1), "eng")], title=f"Title{ESCAPE}\nnew")
    return path.read_bytes()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("in", "home"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_film_of_any_name_becomes_a_job(place: Path, film: bytes, name: str) -> None:
    (place / "in" / name).write_bytes(film)
    before = tree(place, place / "out")
    done = stemscribe("prepare", "--media", f"in/{name}", cwd=place)
    assert done.returncode == 0, done.stderr
    job = done.stdout.decode().split()[-1]
    assert read_record(place / "out" / job / "job.json", Job).media == str(place / "in" / name)
    assert tree(place, place / "out") == before
    listed = stemscribe("status", cwd=place)
    refused = stemscribe("prepare", "--media", f"in/{name}", "--audio-track", "9", cwd=place)
    assert (listed.returncode, refused.returncode) == (0, 2)
    assert_harmless(listed.stdout + listed.stderr + refused.stderr)
    assert tree(place, place / "out") == before


@pytest.mark.parametrize("name", [HOSTILE["newline"], HOSTILE["escapes"]])
def test_what_is_wrong_with_a_hostile_film_is_said(place: Path, name: str) -> None:
    (place / "in" / name).write_bytes(b"no film")
    wrong = [stemscribe("prepare", "--media", f"in/{film}", cwd=place) for film in (name, f"x{name}")]
    assert [done.returncode for done in wrong] == [1, 2]
    for done in wrong:
        assert done.stderr.startswith(b"[ERROR] ")
        assert_harmless(done.stderr)


def test_a_name_that_begins_with_a_dash_is_taken_as_it_is(place: Path, film: bytes) -> None:
    (place / "-film.mkv").write_bytes(film)
    assert stemscribe("prepare", "--media", "-film.mkv", cwd=place).returncode == 0
    assert stemscribe("prepare", "--media=-film.mkv", cwd=place).returncode == 0


def test_titles_of_tracks_drive_no_terminal(place: Path, film: bytes) -> None:
    (place / "film.mkv").write_bytes(film)
    done = stemscribe("prepare", "--media", "film.mkv", "--audio-track", "ta", cwd=place)
    assert done.returncode == 2
    assert rb"Title\x1b]0;owned\x07\x1b[31m" in done.stderr
    assert_harmless(done.stderr)


def test_a_name_that_is_not_utf_8_is_refused(place: Path, film: bytes) -> None:
    name = str(place / "in" / os.fsdecode(b"film\xff.mkv"))
    Path(name).write_bytes(film)
    before = tree(place, place / "out")
    for command in (["prepare", "--media", name], ["separate", name, "-o", "stems"], ["run", "--media", name]):
        done = stemscribe(*command, cwd=place)
        assert done.returncode == 2
        assert b"is not valid UTF-8. " not in done.stderr  # message and hint are lines of their own
        assert b"is not valid UTF-8." in done.stderr
        assert_harmless(done.stderr)
    assert tree(place, place / "out") == before


@pytest.mark.parametrize("target", ["loop.mkv", "gone.mkv"])
def test_links_that_lead_nowhere_are_refused(place: Path, target: str) -> None:
    (place / "loop.mkv").symlink_to(target)
    done = stemscribe("prepare", "--media", "loop.mkv", cwd=place)
    assert done.returncode == 2
    assert_harmless(done.stderr)


@pytest.mark.parametrize("name", ["..", ".", "../..", "../in/.."])
@pytest.mark.parametrize("command", [["prepare", "--media"], ["separate", "-o", "stems"]])
def test_folders_are_no_films(place: Path, name: str, command: list[str]) -> None:
    before = tree(place.parent, place / "out")
    done = stemscribe(*command, name, cwd=place / "in")
    assert done.returncode == 2
    assert b"is a folder." in done.stderr
    assert tree(place.parent, place / "out") == before


@pytest.mark.parametrize(
    "name",
    ["out\nof", "-out", "out'\"$(x)", "🎬\u202e", "é" * 127, f"out{ESCAPE}", "a/../out", "~nobody-of-this-name/out"],
    ids=["newline", "dash", "quotes", "direction", "255 bytes", "escapes", "dots", "home"],
)
def test_a_folder_of_any_name_is_written_to_and_no_other(place: Path, film: bytes, name: str) -> None:
    (place / "in" / "film.mkv").write_bytes(film)
    before = tree(place, Path("none"))
    done = stemscribe("prepare", "--media", "in/film.mkv", f"--out-dir={name}", cwd=place)
    assert_harmless(done.stdout + done.stderr)
    made = tree(place, Path("none")).keys() - before.keys()
    if name.startswith("~"):
        assert (done.returncode, made) == (2, set())
        return
    assert done.returncode == 0, done.stderr
    assert all(Path(path).resolve().is_relative_to((place / name).resolve()) for path in made)
    assert made
    empty = stemscribe("status", f"--out-dir={name}x"[:250], cwd=place)
    assert_harmless(empty.stdout + empty.stderr if empty.returncode else empty.stderr)


@pytest.mark.parametrize("name", [b"out\xff", b"loop", b"x" * 300, b"in/film.mkv"])
def test_a_folder_that_cannot_be_is_refused(place: Path, film: bytes, name: bytes) -> None:
    (place / "in" / "film.mkv").write_bytes(film)
    (place / "loop").symlink_to("loop")
    before = tree(place, Path("none"))
    done = stemscribe("prepare", "--media", "in/film.mkv", "--out-dir", os.fsdecode(name), cwd=place)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith(b"[ERROR] ")
    assert b"itself is at fault" not in done.stderr
    assert_harmless(done.stderr)
    assert tree(place, Path("none")) == before


def test_answers_are_plain_for_programs_and_harmless_on_a_terminal(place: Path) -> None:
    (place / "film.srt").touch()
    target = f"film{ESCAPE}.vtt"
    assert stemscribe("convert", "film.srt", "-o", target, cwd=place).stdout == f"{target}\n".encode()
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", MAIN, "convert", "film.srt", "-o", target, "--force"]
    done = subprocess.run(command, cwd=place, stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    shown = os.read(ours, 4096)
    os.close(ours)
    assert (done.returncode, done.stderr) == (0, b"")
    assert shown == rb"film\x1b]0;owned\x07\x1b[31m\x9b2J.vtt" + b"\r\n"


@pytest.mark.models
@pytest.mark.slow
def test_stems_of_hostile_films_go_where_they_were_asked_for(place: Path, film: bytes, model, models_dir: Path) -> None:  # type: ignore[no-untyped-def]
    model("htdemucs")
    names = [HOSTILE["newline"], HOSTILE["dots"], HOSTILE["escapes"]]
    for name in names:
        (place / "in" / name).write_bytes(film)
    before = tree(place, place / "out")
    paths = [f"in/{name}" for name in names]
    done = stemscribe("separate", *paths, "-o", "stems", cwd=place, STEMSCRIBE_MODELS_DIR=str(models_dir))
    assert done.returncode == 0, done.stderr
    assert_harmless(done.stderr)
    made = {path.removeprefix(f"{place}/") for path in tree(place, place / "out").keys() - before.keys()}
    files = ("vocals.wav", "accompaniment.wav", "separation.json")
    folders = [HOSTILE["newline"][:-4], "...mkv", HOSTILE["escapes"][:-4]]
    assert made == {f"stems/{folder}/{file}" for folder in folders for file in files}
    for log in (place / "out").glob("*/pipeline.log"):
        assert_harmless(log.read_bytes())
    assert json.loads(stemscribe("status", "--json", cwd=place).stdout)
