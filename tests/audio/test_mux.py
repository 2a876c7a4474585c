"""A film gets one more track, and nothing else about it changes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from fakes import noise, tone, write_film
from stemscribe.audio.mux import SubtitleTrack, TimedText, _samples, _Timeline, container_for, mux
from stemscribe.choices import Container
from stemscribe.errors import MediaError, StorageError, UsageError

TEXTS = (
    TimedText(0.5, 1.25, "Hello."),
    TimedText(1.33, 2.0, "नमस्ते\nदुनिया"),
    TimedText(2.7, 3.456, "<i>not a style</i>"),
)
TRACK = SubtitleTrack(TEXTS, "hin", "Hindi (stemscribe)")
PICTURE = b"\xff\xd8\xff\xe0 a picture \xff\xd9"
CHAPTERS = [("Begin", 0.0, 2.0), ("End", 2.0, 4.0)]


def make_film(
    path: Path,
    *,
    start: float = 0.0,
    codec: str = "mpeg4",
    sound: str = "aac",
    tracks: Sequence[str] = ("eng", "hin"),
    subtitles: str = "",
    chapters: bool = False,
    attachments: bool = False,
    seconds: int = 4,
) -> Path:
    """A film with B-frames, whose first picture is shown at `start`."""
    with av.open(str(path), "w") as film:
        video = film.add_stream(codec, rate=25)
        describe_picture(video, codec)
        sounds = [film.add_stream(sound, rate=48000, layout="stereo") for _ in tracks]
        for number, (stream, language) in enumerate(zip(sounds, tracks, strict=True)):
            stream.metadata.update({"language": language, "title": f"Track {number}"})
            stream.disposition = Disposition.default if number == 1 else Disposition(0)
        film.metadata["title"] = "A film"
        if chapters:
            film.set_chapters([chapter(number, start, *each) for number, each in enumerate(CHAPTERS)])
        if attachments:
            film.add_attachment("font.ttf", "font/ttf", b"a font")
            film.add_attachment("cover.jpg", "image/jpeg", PICTURE)
        if subtitles:
            add_line(film, subtitles, start + 1.0)
        film.start_encoding()
        for index in range(25 * seconds):
            encode(film, video, sounds, index, start)
        for stream in (video, *sounds):
            film.mux(stream.encode(None))
    return path


def describe_picture(video: Any, codec: str) -> None:
    video.width, video.height = 64, 48
    if codec == "prores_ks":
        video.pix_fmt = "yuv422p10le"
    if codec == "mpeg4":
        video.codec_context.max_b_frames = 2
        video.codec_context.sample_aspect_ratio = Fraction(16, 11)


def encode(film: Any, video: Any, sounds: list[Any], index: int, start: float) -> None:
    """A twenty-fifth of a second of picture and sound."""
    pixels = np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)
    picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    picture.pts, picture.time_base = index + round(start * 25), Fraction(1, 25)
    film.mux(video.encode(picture))
    for stream in sounds:
        frame = av.AudioFrame.from_ndarray(noise(1920, seed=index), format="fltp", layout="stereo")
        frame.pts, frame.sample_rate = index * 1920 + round(start * 48000), 48000
        frame.time_base = Fraction(1, 48000)
        for fitting in av.AudioResampler(stream.format, "stereo", 48000).resample(frame):
            film.mux(stream.encode(fitting))


def chapter(number: int, origin: float, title: str, start: float, end: float) -> Any:
    times = {"start": round((origin + start) * 1000), "end": round((origin + end) * 1000)}
    return {"id": number, **times, "time_base": Fraction(1, 1000), "metadata": {"title": title}}


def add_line(film: Any, codec: str, time: float) -> None:
    """A track of subtitles in French, with one line in it."""
    stream = film.add_mux_stream(codec, time_base=Fraction(1, 1000))
    stream.metadata.update({"language": "fra", "title": "Français"})
    packet: Any = av.Packet(b"\0\x03Oui" if codec == "mov_text" else b"Oui")
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = round(time * 1000)
    packet.duration = 1500
    film.mux(packet)


def contents(path: Path) -> dict[int, tuple[str, list[str], list[float]]]:
    """By stream: its kind, the hash of each packet, and when it is shown after the first picture or sound of all."""
    with av.open(str(path)) as film:
        found: dict[int, tuple[str, list[str], list[float]]] = {}
        times: dict[int, list[float]] = defaultdict(list)
        hashes: dict[int, list[str]] = defaultdict(list)
        for packet in film.demux():
            if packet.size:
                hashes[packet.stream_index].append(hashlib.sha256(bytes(packet)).hexdigest())
                times[packet.stream_index].append(float((packet.pts or 0) * packet.time_base))
        first = min(min(times[s.index]) for s in film.streams if s.type in {"video", "audio"} and not is_cover(s))
        for stream in film.streams:
            kind = "cover" if is_cover(stream) else stream.type
            found[stream.index] = kind, hashes[stream.index], [time - first for time in times[stream.index]]
        return found


def is_cover(stream: Any) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def check_copied(before: Path, after: Path) -> None:
    """Every packet of every stream is there, byte for byte, and as far from the others as it was."""
    old, new = contents(before), contents(after)
    added = max(index for index, (kind, *_) in new.items() if kind == "subtitle")
    del new[added]
    for kind in ("video", "audio", "subtitle", "cover"):
        mine = [(hashes, times) for each, hashes, times in new.values() if each == kind]
        theirs = [(hashes, times) for each, hashes, times in old.values() if each == kind]
        assert [hashes for hashes, _ in mine] == [hashes for hashes, _ in theirs], kind
        if kind != "cover":
            for (_, one), (_, other) in zip(mine, theirs, strict=True):
                if kind == "subtitle":
                    one, other = np.maximum(one, 0), np.maximum(other, 0)
                np.testing.assert_allclose(one, other, rtol=0, atol=0.0021)  # two times are rounded to milliseconds


def shown(path: Path) -> list[tuple[float, float, str]]:
    """What a player shows of the last subtitle track, from when to when on the film's clock."""
    with av.open(str(path)) as film:
        stream = film.streams.subtitles[-1]
        origin = (film.start_time or 0) / av.time_base
        found = []
        for packet in film.demux(stream):
            for each in packet.decode() if packet.size else ():
                text = each.dialogue.decode()
                begin = float(packet.pts * packet.time_base) - origin
                if text:
                    found.append((begin, begin + float(packet.duration * packet.time_base), text))
        return found


def check_shown(path: Path, texts: Sequence[TimedText] = TEXTS, late: float = 0.0) -> None:
    found = shown(path)
    assert [text.replace("\\N", "\n").replace("{\\i1}", "<i>").replace("{\\i0}", "</i>") for *_, text in found] == [
        each.text for each in texts
    ]
    for (begin, end, _), each in zip(found, texts, strict=True):
        assert (begin, end) == pytest.approx((each.start + late, each.end + late), abs=0.0011)


def written(film: Path, container: Container, track: SubtitleTrack = TRACK) -> Path:
    target = film.with_name(f"subtitled.{container}")
    mux(film, target, container, track)
    return target


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_the_clip_is_copied_untouched_and_its_cues_come_at_their_times(
    tmp_path: Path, clip: Path, container: Container
) -> None:
    target = tmp_path / f"subtitled.{container}"
    mux(clip, target, container, TRACK)
    check_copied(clip, target)
    # The sound of an MP4 begins 1024 samples before its clock does; Matroska's clock begins with the sound.
    check_shown(target, late=0.021 if container == "mkv" else 0.0)
    with av.open(str(target)) as film:
        subtitles = film.streams.subtitles[0]
        assert subtitles.language == "hin"
        assert subtitles.disposition == Disposition.default
        assert subtitles.codec_context.name == {"mkv": "srt", "mp4": "mov_text"}[container]
        assert "Hindi (stemscribe)" in subtitles.metadata.values()
        assert next(iter(film.decode(video=0))).width == 320


@pytest.mark.parametrize("start", [0.0, 5.0])
@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_two_tracks_subtitles_chapters_and_a_clock_that_begins_late(tmp_path: Path, ending: Any, start: float) -> None:
    subtitles = {"mkv": "subrip", "mp4": "mov_text"}[ending]
    film = make_film(
        tmp_path / f"film.{ending}", start=start, subtitles=subtitles, chapters=True, attachments=ending == "mkv"
    )
    target = written(film, ending)
    check_copied(film, target)
    check_shown(target)
    with av.open(str(film)) as old, av.open(str(target)) as new:
        assert new.metadata["title"] == "A film"
        for one, other in zip(old.streams.audio, new.streams.audio, strict=True):
            assert (other.language, other.disposition) == (one.language, one.disposition)
            assert other.metadata.get("title", other.metadata.get("name")) == one.metadata.get(
                "title", one.metadata.get("name")
            )
        assert [stream.language for stream in new.streams.subtitles] == ["fra", "hin"]
        assert [stream.disposition for stream in new.streams.subtitles] == [
            old.streams.subtitles[0].disposition,
            Disposition(0),
        ], "the film's own subtitles are those that are shown"
        assert (new.start_time or 0) == pytest.approx(0, abs=25_000)
        assert new.streams.video[0].sample_aspect_ratio == Fraction(16, 11)
        found = [(each["metadata"]["title"], each["start"] * each["time_base"]) for each in new.chapters()]
        late = Fraction(old.start_time or 0, av.time_base)
        assert [title for title, _ in found] == ["Begin", "End"]
        assert [float(time) for _, time in found] == pytest.approx([max(0, start - late), 2 + start - late], abs=0.025)


def test_attachments_and_the_cover_stay_what_they_are(tmp_path: Path) -> None:
    target = written(make_film(tmp_path / "film.mkv", attachments=True), "mkv")
    with av.open(str(target)) as film:
        (font,) = film.streams.attachments
        assert (font.name, font.mimetype, font.data) == ("font.ttf", "font/ttf", b"a font")
        (cover,) = (stream for stream in film.streams.video if is_cover(stream))
        assert cover.metadata == {"filename": "cover.jpg", "mimetype": "image/jpeg"}
        assert bytes(next(packet for packet in film.demux(cover))) == PICTURE


def test_a_cover_is_no_picture(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mka"), "w", format="matroska") as song:
        song.add_stream("flac", rate=48000, layout="stereo")
        song.add_attachment("cover.jpg", "image/jpeg", PICTURE)
        frame = av.AudioFrame.from_ndarray((noise(48000) * 32767).astype(np.int16)[:, :4096].T.reshape(1, -1), "s16")
        frame.sample_rate = 48000
        song.mux(song.streams.audio[0].encode(frame))
        song.mux(song.streams.audio[0].encode(None))
    target = written(tmp_path / "song.mka", container_for(tmp_path / "song.mka", "auto"))
    assert target.suffix == ".mkv"
    check_copied(tmp_path / "song.mka", target)


@pytest.mark.skipif("libx265" not in av.codecs_available, reason="this PyAV cannot encode HEVC")
def test_hevc_keeps_the_tag_by_which_apples_players_know_it(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as made:
        video = made.add_stream("libx265", rate=25, options={"x265-params": "log-level=none"})
        video.width = video.height = 64
        video.codec_context.codec_tag = "hvc1"
        made.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        made.mux(video.encode(None))
    with av.open(str(written(film, "mp4"))) as copy:
        assert copy.streams.video[0].codec_context.codec_tag == "hvc1"


def test_in_mp4_nothing_is_shown_between_two_texts(tmp_path: Path) -> None:
    """A sample lasts until the next: each pause needs an empty one of its own."""
    target = written(make_film(tmp_path / "film.mp4"), "mp4")
    with av.open(str(target)) as film:
        stream = film.streams.subtitles[0]
        samples = [packet for packet in film.demux(stream) if packet.size]
        assert all(one.pts + one.duration == other.pts for one, other in pairwise(samples))
        empty = [(packet.pts, packet.pts + packet.duration) for packet in samples if bytes(packet) == bytes(2)]
        assert empty[:3] == [(0, 120_000), (300_000, 319_200), (480_000, 648_000)]
        assert len(samples) == len(empty) + len(TEXTS) == 2 * len(TEXTS) + 1
    description = target.read_bytes().partition(b"tx3g")[2][:80]
    assert b"ftab" in description, "3GPP TS 26.245 asks for a table of fonts"


def test_the_samples_of_mp4_follow_each_other_and_none_is_too_long_for_its_header() -> None:
    texts = [TimedText(1.0, 2.0, "one"), TimedText(2.0, 3.0, "two"), TimedText(3 * 3600.0, 3 * 3600.0 + 1, "three")]
    samples = list(_samples(texts))
    assert samples[0][0] == 0
    assert all(before[1] == after[0] for before, after in pairwise(samples))
    assert all(0 < end - start < 2**31 for start, end, _ in samples)
    assert [data for *_, data in samples if data != bytes(2)] == [b"\0\x03one", b"\0\x03two", b"\0\x05three"]


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_a_film_in_which_nobody_speaks_has_a_track_all_the_same(tmp_path: Path, container: Container) -> None:
    target = written(make_film(tmp_path / "film.mkv"), container, SubtitleTrack((), "und", ""))
    with av.open(str(target)) as film:
        assert len(film.streams.subtitles) == 1
    assert shown(target) == []


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_the_same_film_and_texts_give_the_same_bytes(tmp_path: Path, container: Container) -> None:
    film = make_film(tmp_path / "film.mkv")
    assert written(film, container).read_bytes() == written(film, container).read_bytes()


@pytest.mark.parametrize(("ending", "codec", "sound"), [("ts", "mpeg2video", "mp2"), ("avi", "mpeg4", "mp3")])
def test_other_containers_become_mkv(tmp_path: Path, ending: str, codec: str, sound: str) -> None:
    start = 5.0 if ending == "ts" else 0.0
    film = make_film(tmp_path / f"film.{ending}", codec=codec, sound=sound, tracks=["eng"], start=start)
    assert container_for(film, "auto") == "mkv"
    target = written(film, "mkv")
    check_shown(target)
    old, new = contents(film), contents(target)
    for index in (0, 1):
        assert new[index][1] == old[index][1]
    with av.open(str(target)) as copy:
        assert sum(1 for _ in copy.decode(video=0)) == 100


def placed(*stamps: tuple[int | None, int | None], film_end: float | None = None, strict: bool = False) -> list[Any]:
    """What becomes of packets of 40 ms with these times (dts, pts), of a film whose clock begins at 100 ms."""
    timeline, found = _Timeline(film_end, strict), []
    for dts, pts in stamps:
        packet: Any = av.Packet(b"data")
        packet.dts, packet.pts, packet.duration, packet.time_base = dts, pts, 40, Fraction(1, 1000)
        timeline.place(packet, 100)
        found.append((packet.dts, packet.pts))
    return found


def test_times_are_counted_from_the_start_of_the_film() -> None:
    assert placed((100, 180), (140, 140), (180, 220)) == [(0, 80), (40, 40), (80, 120)]
    assert placed((None, 180), (None, 140), (100, 220)) == [(None, 80), (None, 40), (0, 120)]
    assert placed((140, 140), (None, None)) == [(40, 40), (40, 40)]


def test_times_never_go_back() -> None:
    assert placed((140, 140), (130, 130), (180, 180)) == [(40, 40), (40, 40), (80, 80)]
    assert placed((140, 140), (140, 140), strict=True) == [(40, 40), (41, 41)]


def test_times_that_lead_out_of_the_film_are_not_believed(caplog: pytest.LogCaptureFixture) -> None:
    """As where two recordings were joined: the second one's clock begins anew."""
    assert placed((60_000, 60_000), (100, 100), (140, 140)) == [(59_900, 59_900), (59_940, 59_940), (59_980, 59_980)]
    far = [(140, 140), (900_000, 900_000), (900_040, 900_040)]
    assert placed(*far, film_end=60.0) == [(40, 40), (80, 80), (120, 120)]
    assert placed(*far, film_end=None)[1] == (899_900, 899_900)
    assert caplog.messages[0] == "timestamps jump by -59.900 s at 0:59.900: the film goes on without a break"


def test_a_part_is_copied_where_a_part_is_wanted(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv", start=5.0, seconds=12)
    told: list[float] = []
    mux(film, tmp_path / "part.mkv", "mkv", TRACK, span=(6.0, 8.0), progress=told.append)
    with av.open(str(tmp_path / "part.mkv")) as part:
        times = [float(packet.pts * packet.time_base) for packet in part.demux(audio=0) if packet.size]
    assert 4.0 < min(times) <= 6.0
    assert max(times) == pytest.approx(8.0, abs=0.1)
    assert max(told) <= 8.0


def test_which_container_is_chosen(tmp_path: Path) -> None:
    assert container_for(make_film(tmp_path / "film.mkv"), "auto") == "mkv"
    assert container_for(make_film(tmp_path / "film.mp4"), "auto") == "mp4"
    assert container_for(make_film(tmp_path / "film.mov"), "auto") == "mp4"
    assert container_for(tmp_path / "film.mkv", "mp4") == "mp4"
    assert container_for(write_film(tmp_path / "sound.wav", [(tone(1), "")]), "auto") == "mkv"
    assert container_for(write_film(tmp_path / "sound.m4a", [(tone(1), "")], codec="aac"), "auto") == "mkv"


def test_what_a_container_cannot_hold_is_said_at_once(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv", subtitles="subrip", attachments=True)
    with pytest.raises(UsageError, match=r"film\.mkv cannot be written as \.mp4, which cannot hold track 3") as said:
        container_for(film, "mp4")
    assert "(subtitle, s" in said.value.message
    assert "--container mkv" in said.value.hint
    with pytest.raises(UsageError, match=r"as \.mkv, which cannot hold track 3 \(subtitle, mov_text\)"):
        container_for(make_film(tmp_path / "film.mp4", subtitles="mov_text"), "mkv")


def test_a_film_that_mp4_cannot_hold_becomes_mkv_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = make_film(tmp_path / "film.mov", codec="prores_ks", sound="pcm_s24be", subtitles="mov_text")
    assert container_for(film, "auto") == "mkv"
    assert caplog.messages == [
        "film.mov is written as .mkv: .mp4 cannot hold track 0 (video, prores)",
        "film.mov gets subtitles without track 3 (subtitle, mov_text), which .mkv cannot hold",
    ]
    caplog.clear()
    target = written(film, "mkv")
    assert caplog.messages == ["left out: track 3 (subtitle, mov_text), which .mkv cannot hold"]
    check_shown(target)


def test_the_film_itself_is_never_written_to(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv")
    before = film.read_bytes()
    (tmp_path / "link.mkv").symlink_to(film)
    for target in (film, tmp_path / "link.mkv"):
        with pytest.raises(UsageError, match="would be overwritten by itself"):
            mux(film, target, "mkv", TRACK)
    written(film, "mkv")
    assert film.read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_a_full_disk_is_told_as_one(tmp_path: Path, container: Container) -> None:
    with pytest.raises(StorageError, match="No space left on device"):
        mux(make_film(tmp_path / "film.mkv"), Path("/dev/full"), container, TRACK)


def test_a_film_that_breaks_off_is_copied_as_far_as_it_goes_or_told(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv")
    content = bytearray(film.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    film.write_bytes(content)
    target = written(film, "mkv")
    hashes = contents(film)[0][1]
    assert contents(target)[0][1] == hashes
    film.write_bytes(content[:40])
    with pytest.raises(MediaError):
        written(film, "mkv")


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_film(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from stemscribe.audio.mux import *\n"
        "film = Path(sys.argv[1])\n"
        "mux(film, film.with_suffix('.out.mkv'), 'mkv', SubtitleTrack((TimedText(1.0, 2.0, 'one'),)))\n"
        "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')))"
    )

    def peak(seconds: int) -> int:
        film = write_film(tmp_path / f"{seconds}.mkv", [(tone(seconds), "eng")] * 2, codec="pcm_s32le", with_video=True)
        done = subprocess.run([sys.executable, "-c", program, film], capture_output=True, text=True, check=True)
        return int(done.stdout) * 1024

    short, long = peak(20), peak(160)  # 15 and 123 MB
    assert long < short + 15e6
