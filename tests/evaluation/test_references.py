from __future__ import annotations

from pathlib import Path

import pytest

from stemscribe.errors import UsageError
from stemscribe.evaluation.references import Found, find_references, stems_in


def language_of(name: str) -> str | None:
    return name.lower() if name.lower() in {"en", "hi", "de", "no"} else None


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def find(root: Path, **flags: bool) -> Found:
    return find_references(root, language_of, **flags)


def test_a_recording_with_a_text_beside_it(tmp_path: Path) -> None:
    found = find(touch(tmp_path, "a.flac", "a.txt", "deep/er/b.MP4", "deep/er/b.srt"))
    assert [(one.name, one.group, one.media.name, one.text and one.text.name) for one in found.references] == [
        ("a", ".", "a.flac", "a.txt"),
        ("deep/er/b", "deep/er", "b.MP4", "b.srt"),
    ]
    assert not found.left_out


def test_text_goes_before_subtitles(tmp_path: Path) -> None:
    (one,) = find(touch(tmp_path, "a.wav", "a.vtt", "a.srt", "a.txt")).references
    assert one.text == tmp_path / "a.txt"


def test_what_has_no_counterpart_is_left_out_and_said(tmp_path: Path) -> None:
    found = find(touch(tmp_path, "a.wav", "a.txt", "b.wav", "c.txt", "README.md", ".hidden.wav", ".git/d.wav"))
    assert [one.name for one in found.references] == ["a"]
    assert found.left_out == {"b.wav": "has no text beside it", "c.txt": "has no recording beside it"}


def test_two_recordings_of_a_name_keep_their_endings(tmp_path: Path) -> None:
    found = find(touch(tmp_path, "a.wav", "a.mp3", "a.txt"))
    assert [one.name for one in found.references] == ["a.mp3", "a.wav"]


def test_a_mixture_with_stems_and_a_transcript_is_one_reference(tmp_path: Path) -> None:
    names = ("mixture.flac", "speech.flac", "music.flac", "transcript.txt", "segments.tsv")
    (one,) = find(touch(tmp_path, *(f"mix/en_libri_0dB/{name}" for name in names))).references
    assert (one.name, one.group, one.language) == ("mix/en_libri_0dB", "mix", "en")
    assert {name: path.name for name, path in one.stems.items()} == {
        "vocals": "speech.flac",
        "accompaniment": "music.flac",
    }
    assert one.text is not None
    assert one.heard


def test_stems_in_a_folder_beside_the_mixture_belong_to_it(tmp_path: Path) -> None:
    stems = [f"song/truth/{name}.wav" for name in ("drums", "bass", "other", "vocals")]
    found = find(touch(tmp_path, "song/mixture.wav", *stems))
    (one,) = found.references
    assert not found.left_out
    assert set(one.stems) == {"drums", "bass", "other", "vocals"}
    assert not one.heard


def test_several_folders_of_stems_do_not_tell_which_is_true(tmp_path: Path) -> None:
    touch(tmp_path, "song/mixture.wav", "song/a/vocals.wav", "song/b/vocals.wav")
    with pytest.raises(UsageError, match=r"several folders of stems beside it \(a, b\)"):
        find(tmp_path)


def test_a_mixture_alone_is_left_out(tmp_path: Path) -> None:
    found = find(touch(tmp_path, "a.wav", "a.txt", "song/mixture.wav"))
    assert found.left_out == {"song/mixture.wav": "has neither a text nor stems beside it"}


@pytest.mark.parametrize("folder", ["music", "no-speech", "No_Speech"])
def test_nobody_speaks_in_folders_that_say_so(tmp_path: Path, folder: str) -> None:
    (one,) = find(touch(tmp_path, f"{folder}/deeper/a.ogg")).references
    assert one.silent
    assert one.text is None


def test_a_text_goes_before_the_name_of_the_folder(tmp_path: Path) -> None:
    (one,) = find(touch(tmp_path, "music/song.ogg", "music/song.txt")).references
    assert not one.silent


def test_a_flag_says_that_nobody_speaks(tmp_path: Path) -> None:
    found = find(touch(tmp_path, "a.wav", "b.wav", "b.txt"), no_speech=True)
    assert [(one.name, one.silent) for one in found.references] == [("a", True), ("b", False)]


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("speech/hi/a", "hi"),
        ("speech/hi_in/a", "hi"),
        ("speech/HI/take2/a", "hi"),
        ("hi/en/a", "en"),  # the nearest folder counts
        ("no_take/a", ""),
        ("speech/english/a", ""),
        ("hi/de", "hi"),
        ("hi/en_a", "hi"),  # a file's own name says nothing: it may be de_facto.wav
    ],
)
def test_folders_say_what_is_spoken(tmp_path: Path, name: str, language: str) -> None:
    root = tmp_path / "corpus"
    (one,) = find(touch(root, f"{name}.wav", f"{name}.txt")).references
    assert one.language == language


def test_the_folder_that_is_searched_says_it_too(tmp_path: Path) -> None:
    (one,) = find(touch(tmp_path / "hi", "a.wav", "a.txt")).references
    assert one.language == "hi"


def test_a_mixture_that_is_the_folder_itself_has_its_name(tmp_path: Path) -> None:
    (one,) = find(touch(tmp_path / "en_song", "mixture.wav", "transcript.txt")).references
    assert (one.name, one.language) == ("en_song", "en")


def test_an_empty_folder_and_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing in .* to measure against") as caught:
        find(tmp_path)
    assert "NAME.txt" in caught.value.hint
    with pytest.raises(UsageError, match=r"a\.wav has no text"):
        find(touch(tmp_path, "a.wav"))
    with pytest.raises(UsageError, match="is not a folder"):
        find(tmp_path / "a.wav")


def test_stems_are_known_by_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "Vocals.wav", "speech.wav", "bass.flac", "vocals.txt", "cover.jpg")
    assert {name: path.name for name, path in stems_in(tmp_path).items()} == {
        "vocals": "Vocals.wav",
        "bass": "bass.flac",
    }
    assert stems_in(tmp_path / "missing") == {}
