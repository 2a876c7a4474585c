import multiprocessing
import os
import sys
import tempfile
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import noise, tone, write_film
from stemscribe.audio.probe import check_decodable, identity, probe
from stemscribe.errors import MediaError, NoAudioError, StemscribeError, UsageError


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Two tracks: English first, Hindi marked as the default one."""
    return write_film(tmp_path / "film.mkv", [(tone(1), "eng"), (tone(1), "hin")], default=1)


def test_tracks_are_described(film: Path) -> None:
    media = probe(film)
    assert [(track.number, track.language, track.default) for track in media.tracks] == [
        (0, "en", False),
        (1, "hi", True),
    ]
    assert media.tracks[0].layout == "stereo"
    assert media.duration == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("wanted", "language", "number"),
    [
        ("", "en", 0),
        ("", "eng", 0),
        ("", "hi", 1),
        ("", "auto", 1),  # the default track
        ("", "ta", 1),
        ("0", "hi", 0),  # asked for by number
        ("eng", "hi", 0),  # asked for by language
        ("hi", "en", 1),
    ],
)
def test_the_right_track_is_taken(film: Path, wanted: str, language: str, number: int) -> None:
    assert probe(film).track(wanted, language).number == number


@pytest.mark.parametrize("wanted", ["2", "ta", "-1", "nonsense"])
def test_a_track_that_is_not_there_is_said_with_those_that_are(film: Path, wanted: str) -> None:
    with pytest.raises(UsageError) as caught:
        probe(film).track(wanted)
    assert str(caught.value) == (
        f"film.mkv has no audio track {wanted!r}."
        " Choose one of its tracks with --audio-track: 0: en, pcm_s16le, stereo; 1: hi, pcm_s16le, stereo."
    )


def text_as_film(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("This is not a film at all.\n" * 100)
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def silent(folder: Path) -> Path:
    return write_film(folder / "silent.mp4", [], with_video=True)


def headless(folder: Path) -> Path:
    """An MP4 that was still being recorded: its index comes last, and is missing."""
    whole = write_film(folder / "whole.mp4", [(tone(5), "eng")], codec="aac")
    path = folder / "headless.mp4"
    path.write_bytes(whole.read_bytes()[:-4000])
    return path


def cut_off(folder: Path) -> Path:
    """A Matroska file whose header promises 60 s, and which ends after about 20."""
    whole = write_film(folder / "whole.mkv", [(tone(60), "eng")])
    path = folder / "cut.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    return path


def cut_off_sound(folder: Path) -> Path:
    soundfile.write(folder / "whole.flac", noise(60 * 8000, channels=1)[0], 8000)
    path = folder / "cut.flac"
    path.write_bytes((folder / "whole.flac").read_bytes()[:200_000])
    return path


def folder_as_film(folder: Path) -> Path:
    (folder / "folder.mp4").mkdir()
    return folder / "folder.mp4"


def missing(folder: Path) -> Path:
    return folder / "missing.mp4"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


def garbage(folder: Path) -> Path:
    path = folder / "garbage.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(100_000))
    return path


def playlist(folder: Path) -> Path:
    """A playlist must not make us read another file."""
    write_film(folder / "other.wav", [(tone(1), "eng")])
    path = folder / "list.ffconcat"
    path.write_text("ffconcat version 1.0\nfile other.wav\n")
    return path


@pytest.mark.parametrize(
    ("make", "kind", "what"),
    [
        (text_as_film, MediaError, "is not a film, video or audio file"),
        (empty, MediaError, "is empty (0 bytes)"),
        (silent, NoAudioError, "has no sound: it holds video only"),
        (headless, MediaError, "is not a film, video or audio file that can be read"),
        (cut_off, MediaError, "is cut off: its header promises 1:00.0"),
        (cut_off_sound, MediaError, "is cut off: its header promises 1:00.0"),
        (folder_as_film, UsageError, "is a folder"),
        (missing, UsageError, "There is no file"),
        (garbage, MediaError, "is not a film, video or audio file"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(
    tmp_path: Path, make, kind: type[StemscribeError], what: str
) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(kind) as caught:
        probe(make(tmp_path))
    assert what in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code in (1, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a regular file"):
        probe(pipe(tmp_path))


def test_a_playlist_reaches_no_other_file(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="is a playlist"):
        probe(playlist(tmp_path))


def test_a_film_that_is_cut_off_after_the_wanted_end_will_do(tmp_path: Path) -> None:
    assert probe(cut_off(tmp_path), until=10.0).tracks


def test_sound_that_cannot_be_decoded_is_found(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mp4", [(tone(5), "eng")], codec="aac")
    data = bytearray(whole.read_bytes())
    start = data.index(b"mdat") + 4
    stop = data.index(b"moov") - 4
    data[start:stop] = b"\xff" * (stop - start)
    (tmp_path / "protected.mp4").write_bytes(data)
    media = probe(tmp_path / "protected.mp4")
    with pytest.raises(NoAudioError, match="none of it can be decoded"):
        check_decodable(media, media.tracks[0])


def test_a_commentary_is_not_taken_for_the_film(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", [(tone(1), "hin"), (tone(1), "hin"), (tone(1), "hin")], default=2)
    media = probe(film)
    tracks = (replace(media.tracks[0], secondary=True), media.tracks[1], media.tracks[2])
    assert replace(media, tracks=tracks).track("", "hi").number == 2
    tracks = (replace(media.tracks[0], secondary=True), media.tracks[1], replace(media.tracks[2], secondary=True))
    assert replace(media, tracks=tracks).track("", "hi").number == 1


def _as_nobody(film: Path, answer: Connection) -> None:
    if os.getuid() == 0:  # root may read everything
        os.setuid(65534)
    try:
        probe(film)
    except StemscribeError as error:
        answer.send((type(error), str(error)))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX rights")
def test_a_file_that_may_not_be_read_is_said() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        film = write_film(folder / "film.wav", [(tone(1), "eng")])
        film.chmod(0)
        here, there = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_as_nobody, args=(film, there))
        child.start()
        assert here.poll(30)
        kind, text = here.recv()
        child.join(30)
    assert kind is MediaError
    assert text == f"{film} may not be read by you. Give yourself the right to: chmod u+r '{film}'."


@pytest.mark.parametrize(
    "name", ["a film.mkv", "film'\"\n.mkv", "-film.mkv", "फ़िल्म 🎬.mkv", "concat:x.mkv", "100%d.mkv"]
)
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    film = write_film(tmp_path / "plain.mkv", [(tone(1), "eng")])
    film.rename(tmp_path / name)
    assert probe(tmp_path / name).tracks


def test_a_title_that_is_not_utf_8_does_no_harm(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", [(tone(1), "eng")], title="Geschichte")
    film.write_bytes(film.read_bytes().replace(b"Geschichte", b"\xff\xfeschicht\xe9"))
    assert probe(film).tracks[0].title.endswith("\ufffd")


def test_identity_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(30), "eng")])
    before = identity(film)
    (tmp_path / "elsewhere").mkdir()
    moved = film.rename(tmp_path / "elsewhere" / "moved.wav")
    assert identity(moved) == before
    data = bytearray(moved.read_bytes())
    data[len(data) // 2] ^= 1
    moved.write_bytes(data)
    assert identity(moved) != before
