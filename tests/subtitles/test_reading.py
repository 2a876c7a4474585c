"""Subtitle files as people leave them behind."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemscribe.errors import MediaError, RecordError, UsageError
from stemscribe.records import write_record
from stemscribe.subtitles import srt, vtt
from stemscribe.subtitles.cues import Cue
from stemscribe.subtitles.reading import parse, read_cues, read_transcript, transcript_of
from stemscribe.transcript import Segment, Transcript, Word

YES_AND_NO = (Cue(1.0, 2.5, ("Yes.",)), Cue(3.0, 4.0, ("No,", "never.")))


@pytest.mark.parametrize(
    "text",
    [
        "1\n00:00:01,000 --> 00:00:02,500\nYes.\n\n2\n00:00:03,000 --> 00:00:04,000\nNo,\nnever.\n",
        "1\r\n00:00:01,000 --> 00:00:02,500\r\nYes.\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\nNo,\r\nnever.",
        "1\r00:00:01,000 --> 00:00:02,500\rYes.\r\r2\r00:00:03,000 --> 00:00:04,000\rNo,\rnever.",
        "00:00:01,000 --> 00:00:02,500\nYes.\n00:00:03,000 --> 00:00:04,000\nNo,\n\nnever.",
        "7\n0:0:1.0 -> 0:00:02.5 X1:10 X2:20\n\nYes.\n\n\n\n7\n00:00:03 –> 00:00:04\n  No, \n never.\n\n",
        "1\n00:01,000 --> 00:02,500\n<i>Yes.</i>\n\n"
        "2\n00:03,000 --> 00:04,000\n{\\an8}<font color=red>No,\nnever.</font>",
        "\n\n2\n00:00:03,000 --> 00:00:04,000\nNo,\nnever.\n\n1\n00:00:01,000 --> 00:00:02,500\nYes.",
        "1\n-00:00:01,000 --> -00:00:00,500\n\n2\n00:00:01,000 --> 00:00:02,500\nYes.\n\n"
        "3\n00:00:03,000 --> 00:00:04,000\nNo,\nnever.",
    ],
    ids=["plain", "crlf", "cr", "no numbers", "sloppy times", "no hours, styles", "out of order", "before zero"],
)
def test_sloppy_files_are_understood(text: str) -> None:
    assert parse(text, is_vtt=False) == YES_AND_NO


def test_webvtt_with_all_its_blocks() -> None:
    text = (
        "WEBVTT - Title\nKind: captions\n\nNOTE a comment\nthat is not shown\n\nSTYLE\n::cue { color: red }\n\n"
        "first\n00:01.000 --> 00:02.500 align:start line:0%\n<v Anna>Yes.</v>\n\nNOTE another\n\n"
        "00:00:03.000 --> 00:00:04.000\n<c.loud>No</c>,\n<00:03.500>never.\n\nnot shown, for it is no cue\n"
    )
    assert parse(text, is_vtt=True) == YES_AND_NO


def test_characters_are_unescaped_in_webvtt_and_left_alone_in_subrip() -> None:
    text = "00:01.000 --> 00:02.000\nTom &amp; Jerry &lt;3\n"
    assert parse(text, is_vtt=True)[0].lines == ("Tom & Jerry <3",)
    assert parse(text, is_vtt=False)[0].lines == ("Tom &amp; Jerry &lt;3",)


def test_a_line_of_digits_is_text_unless_a_cue_follows() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nHow many?\n5\n\n2\n00:00:03,000 --> 00:00:04,000\n12"
    assert [cue.lines for cue in parse(text, is_vtt=False)] == [("How many?", "5"), ("12",)]


def test_what_is_no_tag_stays() -> None:
    text = "00:00:01,000 --> 00:00:02,000\n2 < 3 > 1 {so} <unknown> --> there\n"
    assert parse(text, is_vtt=False)[0].lines == ("2 < 3 > 1 {so} <unknown> --> there",)


def test_overlapping_cues_stay_as_they_are() -> None:
    text = "1\n00:00:01,000 --> 00:00:05,000\nA\n\n2\n00:00:02,000 --> 00:00:03,000\nB\n"
    assert [(cue.start, cue.end) for cue in parse(text, is_vtt=False)] == [(1.0, 5.0), (2.0, 3.0)]


def test_a_cue_that_runs_backwards_is_put_right_and_said(caplog: pytest.LogCaptureFixture) -> None:
    text = "1\n00:00:05,000 --> 00:00:03,000\nA\n\n2\n00:00:01,000 --> 00:00:02,000\nB\n"
    with caplog.at_level(logging.WARNING):
        assert parse(text, is_vtt=False, name="film.srt") == (Cue(1.0, 2.0, ("B",)), Cue(5.0, 5.0, ("A",)))
    assert [record.getMessage() for record in caplog.records] == [
        "1 cues of film.srt end before they begin: they end where they begin now",
        "the cues of film.srt were not in order of time: now they are",
    ]


GERMAN = "1\n00:00:01,000 --> 00:00:02,500\nÄh, „schön“…\n"


@pytest.mark.parametrize(
    "content",
    [
        GERMAN.encode(),
        GERMAN.encode("utf-8-sig"),
        GERMAN.encode("utf-16"),
        GERMAN.encode("utf-16-le"),
        GERMAN.encode("utf-16-be"),
        GERMAN.encode("utf-32"),
        GERMAN.encode("cp1252"),
        GERMAN.replace("\n", "\0\n").encode() + b"\0\0\0",
    ],
    ids=["utf-8", "mark", "utf-16", "little", "big", "utf-32", "windows", "nuls"],
)
def test_every_editors_encoding_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "film.srt").write_bytes(content)
    assert read_cues(tmp_path / "film.srt") == (Cue(1.0, 2.5, ("Äh, „schön“…",)),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Once upon a time\n", "film.srt is not a subtitle file"),
        ("1\n00:00:01,000 --> 00:00:0x,000\nYes\n", "Line 2 of film.srt does not say when its cue is shown"),
        ("1\n100:00:00,000 --> 100:00:01,000\nYes\n", "Line 2 of film.srt is later than 99:59:59"),
        ("1\n999999999:00:00 --> 999999999:00:01\nYes\n", "Line 2 of film.srt is later than 99:59:59"),
        ("\ufeff" + "x" * (1 << 25), "no subtitle file has"),
    ],
)
def test_what_would_be_lost_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "film.srt").write_text(text, encoding="utf-8")
    with pytest.raises(MediaError) as caught:
        read_cues(tmp_path / "film.srt")
    assert said in caught.value.message
    assert caught.value.hint


def test_bytes_that_break_their_own_mark_are_refused(tmp_path: Path) -> None:
    (tmp_path / "film.srt").write_bytes(b"\xff\xfe1")
    with pytest.raises(MediaError, match=r"film\.srt begins as UTF-16 and does not go on so\."):
        read_cues(tmp_path / "film.srt")


@pytest.mark.parametrize(("name", "content"), [("film.srt", ""), ("film.srt", "\ufeff\n \n"), ("film.vtt", "WEBVTT\n")])
def test_a_film_in_which_nobody_speaks(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_cues(tmp_path / name) == ()


def missing(folder: Path) -> Path:
    return folder / "film.srt"


def a_folder(folder: Path) -> Path:
    (folder / "film.srt").mkdir()
    return folder / "film.srt"


def loop(folder: Path) -> Path:
    (folder / "film.srt").symlink_to("film.srt")
    return folder / "film.srt"


def other(folder: Path) -> Path:
    (folder / "film.ass").touch()
    return folder / "film.ass"


@pytest.mark.parametrize("make", [missing, a_folder, loop, other])
@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_what_is_no_file_is_wrong_usage(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError) as caught:
        read_transcript(make(tmp_path))
    assert caught.value.hint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "film.srt")
    with pytest.raises(UsageError, match="is not a regular file"):
        read_transcript(tmp_path / "film.srt")


def test_a_transcript_is_read_as_it_was_written(tmp_path: Path) -> None:
    words = (Word(1.0, 1.5, " Yes", 0.9),)
    transcript = Transcript("hi", (Segment(1.0, 1.5, " Yes", "hi", words),), "film", "whisper-base", "film.mkv")
    write_record(tmp_path / "transcript.json", transcript)
    assert read_transcript(tmp_path / "transcript.json") == transcript


@pytest.mark.parametrize("time", ["1e308", "-1e8", '"1"', "null"])
def test_a_transcript_with_times_of_no_film_is_refused(tmp_path: Path, time: str) -> None:
    segment = f'{{"start": {time}, "end": 2.0, "text": "", "language": "en"}}'
    (tmp_path / "transcript.json").write_text(f'{{"language": "en", "segments": [{segment}]}}')
    with pytest.raises(RecordError, match="is not a valid Transcript"):
        read_transcript(tmp_path / "transcript.json")


def test_cues_become_segments_on_the_films_clock() -> None:
    assert transcript_of(YES_AND_NO, "en") == Transcript(
        "en", (Segment(1.0, 2.5, "Yes.", "en"), Segment(3.0, 4.0, "No, never.", "en")), "film"
    )


times = st.integers(0, 359_999_999).map(lambda milliseconds: milliseconds / 1000)
texts = st.text(st.sampled_from("abzé<>&{}\\NhiकिZ日本-:.,'0123 "), min_size=1, max_size=12)
shown = texts.filter(lambda text: text.strip() and not text.strip().isdigit()).map(str.strip)
spans = st.tuples(times, times).map(lambda span: tuple(sorted(span)))


@settings(deadline=None)
@given(st.lists(st.tuples(spans, st.lists(shown, min_size=1, max_size=3)), max_size=8))
def test_what_we_write_we_read_as_pysubs2_does(drafts: list[tuple[tuple[float, float], list[str]]]) -> None:
    cues = sorted((Cue(start, end, tuple(lines)) for (start, end), lines in drafts), key=lambda cue: cue.start)
    for render, form in ((srt.render, "srt"), (vtt.render, "vtt")):
        written = render(cues)
        read = parse(written, is_vtt=form == "vtt")
        theirs = pysubs2.SSAFile.from_string(written, format_=form, keep_html_tags=True).events
        assert [(cue.start, cue.end) for cue in read] == [(event.start / 1000, event.end / 1000) for event in theirs]
        assert [len(cue.lines) for cue in read] == [len(cue.lines) for cue in cues]
        assert render(read) == written


@settings(deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_anything_is_read_or_refused(data: bytes, is_vtt: bool) -> None:
    with suppress(MediaError):
        parse(data.decode("latin-1"), is_vtt=is_vtt)
