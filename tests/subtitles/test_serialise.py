"""Subtitle files as their readers see them: pysubs2, and FFmpeg, which most players are built on."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Iterable

import av
import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemscribe.subtitles import srt, vtt
from stemscribe.subtitles.cues import Cue, cues_of
from stemscribe.transcript import Segment, Transcript, Word

ENGLISH = (
    Cue(1.0, 2.25, ("And so, my fellow Americans:",)),
    Cue(3661.0, 3665.5, ("ask not what your country can do for you,", "ask what you can do for your country.")),
)
HINDI = (Cue(0.5, 3.0, ("आज दिल्ली में प्रधानमंत्री ने कहा", "कि देश आगे बढ़ रहा है।")),)
HOSTILE = (
    Cue(0.0, 1.0, ("<i>loud</i> & {\\an8}high{\\p1}", "a\\Nb\\hc --> d")),
    Cue(1.0, 2.0, ("00:00:01,000 --> 00:00:02,000", "00:00:01.000 00:00:02.000")),
    Cue(2.0, 3.0, ("NOTE a comment", "WEBVTT")),
)
Render = Callable[[Iterable[Cue]], str]
both = pytest.mark.parametrize(("render", "name"), [(srt.render, "srt"), (vtt.render, "vtt")])


def test_srt_of_an_english_film() -> None:
    assert srt.render(ENGLISH) == (
        "1\n00:00:01,000 --> 00:00:02,250\nAnd so, my fellow Americans:\n\n"
        "2\n01:01:01,000 --> 01:01:05,500\n"
        "ask not what your country can do for you,\nask what you can do for your country.\n"
    )


def test_vtt_of_an_english_film() -> None:
    assert vtt.render(ENGLISH) == (
        "WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.250\nAnd so, my fellow Americans:\n\n"
        "2\n01:01:01.000 --> 01:01:05.500\n"
        "ask not what your country can do for you,\nask what you can do for your country.\n"
    )


def test_srt_of_a_hindi_film() -> None:
    assert srt.render(HINDI) == ("1\n00:00:00,500 --> 00:00:03,000\nआज दिल्ली में प्रधानमंत्री ने कहा\nकि देश आगे बढ़ रहा है।\n")


def test_vtt_of_a_hindi_film() -> None:
    assert vtt.render(HINDI) == (
        "WEBVTT\n\n1\n00:00:00.500 --> 00:00:03.000\nआज दिल्ली में प्रधानमंत्री ने कहा\nकि देश आगे बढ़ रहा है।\n"
    )


def test_a_film_without_speech_gives_empty_files() -> None:
    assert srt.render(()) == ""
    assert vtt.render(()) == "WEBVTT\n"


def test_markup_in_srt_is_written_with_look_alikes() -> None:
    assert srt.render(HOSTILE) == (
        "1\n00:00:00,000 --> 00:00:01,000\n‹i›loud‹/i› & (∖an8)high(∖p1)\na∖Nb∖hc --› d\n\n"
        "2\n00:00:01,000 --> 00:00:02,000\n00:00∶01,000 --› 00:00∶02,000\n00:00∶01.000 00:00∶02.000\n\n"
        "3\n00:00:02,000 --> 00:00:03,000\nNOTE a comment\nWEBVTT\n"
    )


def test_markup_in_vtt_is_escaped() -> None:
    assert vtt.render(HOSTILE) == (
        "WEBVTT\n\n"
        "1\n00:00:00.000 --> 00:00:01.000\n&lt;i&gt;loud&lt;/i&gt; &amp; {∖an8}high{∖p1}\na∖Nb∖hc --&gt; d\n\n"
        "2\n00:00:01.000 --> 00:00:02.000\n00:00∶01,000 --&gt; 00:00∶02,000\n00:00∶01.000 00:00∶02.000\n\n"
        "3\n00:00:02.000 --> 00:00:03.000\nNOTE a comment\nWEBVTT\n"
    )


@both
def test_a_file_is_plain_utf8_with_unix_line_ends(render: Render, name: str) -> None:
    for cues in (ENGLISH, HINDI, HOSTILE):
        data = render(cues).encode("utf-8")
        assert not data.startswith(b"\xef\xbb\xbf")
        assert b"\r" not in data
        assert data.endswith(b"\n")
        assert not data.endswith(b"\n\n")


@both
def test_ffmpeg_reads_the_same_cues(render: Render, name: str) -> None:
    for cues in (ENGLISH, HINDI, HOSTILE):
        assert ffmpeg_cues(render(cues), {"srt": "srt", "vtt": "webvtt"}[name]) == [
            (round(cue.start * 1000), round((cue.end - cue.start) * 1000), len(cue.lines)) for cue in cues
        ]


def ffmpeg_cues(text: str, demuxer: str) -> list[tuple[int, int, int]]:
    """Start, duration (ms) and number of lines of each subtitle, as libavformat and its decoder see them."""
    found = []
    with av.open(io.BytesIO(text.encode("utf-8")), format=demuxer) as container:
        for packet in container.demux():
            for subtitle in packet.decode() if packet.size else ():
                found.append((packet.pts, packet.duration, subtitle.ass.count(rb"\N") + 1))
    return found


words = st.text(st.sampled_from("abzé<>&{}\\NhiकिZ日本-:.,'"), min_size=1, max_size=9).map(lambda text: f" {text}")
times = st.floats(0, 20_000)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    now, spoken = draw(times), []
    for text in draw(st.lists(words, max_size=40)):
        spoken.append(Word(now, now + draw(st.floats(0, 1)), text, 0.9))
        now += draw(st.floats(0, 3))
    return Transcript("en", (Segment(0.0, now, "", "en", tuple(spoken)),))


@both
@settings(deadline=None)
@given(transcript=transcripts())
def test_pysubs2_reads_the_same_cues(render: Render, name: str, transcript: Transcript) -> None:
    cues = cues_of(transcript)
    read = pysubs2.SSAFile.from_string(render(cues), format_=name, keep_html_tags=True).events
    assert len(read) == len(cues)
    for event, cue in zip(read, cues, strict=True):
        assert abs(event.start - cue.start * 1000) <= 1
        assert abs(event.end - cue.end * 1000) <= 1
        assert html.unescape(event.text).split(r"\N") == [as_shown(line, name) for line in cue.lines]


def as_shown(line: str, name: str) -> str:
    shown = line.replace("\\", "∖")
    return shown.translate(str.maketrans("<>{}", "‹›()")) if name == "srt" else shown
