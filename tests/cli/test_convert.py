"""`stemscribe convert`, on files that people correct by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stemscribe.records import write_record
from stemscribe.transcript import Segment, Transcript

MAIN = "from stemscribe.cli.app import main; main()"
SRT = "1\n00:00:01,000 --> 00:00:02,500\nAnd so,\nmy fellow\n\n2\n00:00:04,000 --> 00:00:05,000\nAmericans\n"
VTT = "WEBVTT\n\n" + SRT.replace(",000", ".000").replace(",500", ".500")


def convert(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MAIN, "convert", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", check=False)


def test_corrected_subtitles_keep_their_times_and_lines(tmp_path: Path) -> None:
    (tmp_path / "film.srt").write_text(SRT)
    done = convert("film.srt", "-o", "film.vtt", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "film.vtt\n", "")
    assert (tmp_path / "film.vtt").read_text() == VTT
    assert convert("film.vtt", "-o", "again.srt", cwd=tmp_path).returncode == 0
    assert (tmp_path / "again.srt").read_text() == SRT


def test_text_and_transcript_of_corrected_subtitles(tmp_path: Path) -> None:
    (tmp_path / "film.srt").write_text(SRT)
    assert convert("film.srt", "-o", "film.txt", cwd=tmp_path).returncode == 0
    assert (tmp_path / "film.txt").read_text() == "And so, my fellow Americans\n"
    assert convert("film.srt", "-o", "film.json", "-s", "en", cwd=tmp_path).returncode == 0
    made = json.loads((tmp_path / "film.json").read_text())
    assert (made["language"], made["clock"]) == ("en", "film")
    assert [segment["text"] for segment in made["segments"]] == ["And so, my fellow", "Americans"]


def test_a_corrected_transcript_becomes_subtitles(tmp_path: Path) -> None:
    write_record(tmp_path / "transcript.json", Transcript("en", (Segment(1.0, 2.5, " And so", "en"),), "film"))
    assert convert("transcript.json", "-o", "film.srt", cwd=tmp_path).returncode == 0
    assert (tmp_path / "film.srt").read_text() == "1\n00:00:01,000 --> 00:00:02,500\nAnd so\n"


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "film.srt").write_text(SRT)
    (tmp_path / "film.vtt").write_text("corrected")
    done = convert("film.srt", "-o", "film.vtt", cwd=tmp_path)
    assert done.returncode == 2
    assert "[ERROR] film.vtt is there already." in done.stderr
    assert (tmp_path / "film.vtt").read_text() == "corrected"
    assert convert("film.srt", "-o", "film.vtt", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "film.vtt").read_text() == VTT


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["film.srt", "-o", "film.doc"], 2, "The ending of film.doc is none of .srt, .vtt, .txt, .json."),
        (["film.srt", "-o", "./film.srt", "--force"], 2, "film.srt is the file that is to be read."),
        (["missing.srt", "-o", "film.vtt"], 2, "missing.srt cannot be opened (No such file or directory)."),
        (["film.mkv", "-o", "film.vtt"], 2, "film.mkv is neither .json nor .srt nor .vtt."),
        (["text.srt", "-o", "film.vtt"], 1, "[ERROR] text.srt is not a subtitle file"),
        (["text.json", "-o", "film.vtt"], 1, "[ERROR] text.json is not a valid Transcript"),
        (["late.json", "-o", "film.vtt"], 2, "late.json goes on after 99:59:59, which no .vtt can say."),
        (["film.srt", "-o", "film.srt/film.vtt"], 1, "[ERROR] Could not write film.srt/film.vtt"),
    ],
)
def test_what_is_wrong_is_said_plainly(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    (tmp_path / "film.srt").write_text(SRT)
    write_record(tmp_path / "late.json", Transcript("en", (Segment(360_000.0, 360_001.0, "Late", "en"),), "film"))
    for name in ("film.mkv", "text.srt", "text.json"):
        (tmp_path / name).write_text("Once upon a time")
    done = convert(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "film.vtt").exists()
