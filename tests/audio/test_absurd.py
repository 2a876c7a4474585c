"""Media that nobody would make on purpose, or only on purpose: told plainly or heard right, in seconds, in little
memory."""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from fakes import Array, noise, tone, write_film

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and time as Linux has them")
RATE = 44100
MOST_SECONDS = 20  # of processor time; all take below two
MOST_BYTES = 500 << 20
TRY = """
import json, sys
from pathlib import Path
from stemscribe.audio.mix import write_mix
from stemscribe.audio.probe import check_decodable, probe
from stemscribe.errors import StemscribeError
from stemscribe.pipeline.resources import peak_memory

film, number = Path(sys.argv[1]), sys.argv[2]
told = {}
try:
    media = probe(film)
    track = media.track(number)
    check_decodable(media, track)
    told["frames"] = write_mix(film, track, Path(sys.argv[3]), 44100).frames
except StemscribeError as error:
    told.update(message=error.message, hint=error.hint)
told["peak"] = peak_memory()
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Outcome:
    """What became of a film: what was said of it, or how long its mix is."""

    message: str
    frames: int


def tried(film: Path, track: str = "") -> Outcome:
    """Prepare and demux in a process that may take only so much."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))

    command = [sys.executable, "-c", TRY, str(film), track, str(film.with_name("mix.flac"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["peak"] < MOST_BYTES
    assert told.get("hint", "there is none") or told["message"].endswith(".")
    return Outcome(told.get("message", ""), told.get("frames", 0))


def wav(path: Path, sound: Array, rate: int = RATE, **kind: str) -> Path:
    soundfile.write(path, sound.T, rate, **kind)
    return path


def patched(path: Path, place: int, form: str, *values: object) -> Path:
    """The same file with other numbers at a place."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, place, *values)
    path.write_bytes(data)
    return path


def no_frames(folder: Path) -> Path:
    return wav(folder / "film.wav", np.zeros((2, 0), np.float32))


def no_frames_flac(folder: Path) -> Path:
    """The header of a FLAC, and nothing after it."""
    data = wav(folder / "film.flac", noise(4096)).read_bytes()
    (folder / "film.flac").write_bytes(data[:4] + b"\x80" + data[5:42])
    return patched(folder / "film.flac", 22, ">I", 0)


def no_packets(folder: Path) -> Path:
    return write_film(folder / "film.mkv", [(np.zeros((2, 0), np.float32), "eng")], with_video=True)


def one_hertz(folder: Path) -> Path:
    return wav(folder / "film.wav", noise(100), 1)


def two_gigahertz(folder: Path) -> Path:
    return patched(wav(folder / "film.wav", noise(1000)), 24, "<I", (1 << 31) - 1)


def a_day_in_a_kilobyte(folder: Path) -> Path:
    """A FLAC whose header promises a day."""
    path = wav(folder / "film.flac", np.zeros((1, 4000), np.float32), 8000)
    assert path.stat().st_size < 10_000
    low = (86_400 * 8000) & 0xFFFFFFFF
    return patched(path, 22, ">I", low)


def a_day_of_matroska(folder: Path) -> Path:
    path = write_film(folder / "film.mkv", [(tone(0.2, rate=8000), "eng")], rate=8000)
    place = path.read_bytes().index(bytes.fromhex("448988")) + 3
    return patched(path, place, ">d", 86_400_000.0)


def encrypted(folder: Path) -> Path:
    """What protected films look like: the header names the sound and its cipher, the sound is noise."""
    path = write_film(folder / "film.mp4", [(tone(5), "eng")], codec="aac")
    data = bytearray(path.read_bytes())
    start, stop = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:stop] = np.random.default_rng(1).bytes(stop - start)
    path.write_bytes(data.replace(b"mp4a", b"enca"))
    return path


def still_picture(folder: Path) -> Path:
    return picture(folder / "film.mp4", None)


def a_photograph(folder: Path) -> Path:
    path = folder / "film.png"
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width = stream.height = 32
        stream.pix_fmt = "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def picture(path: Path, sound: Array | None) -> Path:
    """A film of one still picture, with or without sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width = video.height = 32
        audio = container.add_stream("aac", rate=48000, layout="stereo") if sound is not None else None
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            heard = av.AudioFrame.from_ndarray(sound, format="fltp", layout="stereo")
            heard.sample_rate, heard.pts, heard.time_base = 48000, 0, Fraction(1, 48000)
            container.mux(audio.encode(heard))
            container.mux(audio.encode(None))
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (no_frames, "none of it can be decoded"),
        (no_frames_flac, "none of it can be decoded"),
        (no_packets, "none of it can be decoded"),
        (one_hertz, "It claims to have 1 samples a second."),
        (two_gigahertz, "It claims to have 2,147,483,647 samples a second."),
        (a_day_in_a_kilobyte, "is cut off: its header promises 24:00:00.000, but the file ends near"),
        (a_day_of_matroska, "is cut off: its header promises 24:00:00.000, but the file ends near"),
        (encrypted, "none of it can be decoded"),
        (still_picture, "has no sound: it holds video only."),
        (a_photograph, "is not a film, video or audio file"),
    ],
)
def test_what_cannot_be_heard_is_said(tmp_path: Path, make: Callable[[Path], Path], said: str) -> None:
    outcome = tried(make(tmp_path))
    assert said in outcome.message
    assert "\n" not in outcome.message


def one_frame(folder: Path) -> Path:
    return wav(folder / "film.wav", noise(1))


def eight_channels(folder: Path) -> Path:
    return wav(folder / "film.wav", noise(RATE, channels=8), format="WAVEX")


def sixty_four_channels(folder: Path) -> Path:
    return wav(folder / "film.wav", noise(RATE, channels=64), format="WAVEX")


def ten_megahertz(folder: Path) -> Path:
    return wav(folder / "film.wav", noise(1_000_000, channels=1), 10_000_000)


def a_wav_of_four_gigabytes(folder: Path) -> Path:
    """Says that it is as large as WAV can be, and has one second."""
    path = wav(folder / "film.wav", noise(RATE))
    return patched(patched(path, 4, "<I", 0xFFFFFFF7), 40, "<I", 0xFFFFFFD3)


def endless(folder: Path) -> Path:
    """A header that promises more than there has ever been is not believed."""
    path = write_film(folder / "film.mkv", [(tone(1), "eng")])
    place = path.read_bytes().index(bytes.fromhex("448988")) + 3
    return patched(path, place, ">d", 1e15)


def not_a_number(folder: Path) -> Path:
    path = write_film(folder / "film.mkv", [(tone(1), "eng")])
    place = path.read_bytes().index(bytes.fromhex("448988")) + 3
    return patched(path, place, ">d", float("nan"))


def clock_beyond_the_end(folder: Path) -> Path:
    """Half of the film is stamped a hundred years late, and the header knows nothing of it."""
    path = write_film(folder / "film.mkv", [(tone(1), "eng")], gap=(0.5, 3.15e9))
    place = path.read_bytes().index(bytes.fromhex("448988")) + 3
    return patched(path, place, ">d", 1000.0)


def clock_in_two_minds(folder: Path) -> Path:
    """Two recordings, one after the other in one file: the second half is stamped as earlier than the first."""
    film = folder / "film.ts"
    film.write_bytes(write_film(film, [(tone(12), "eng")], codec="aac", start=60.0).read_bytes() * 2)
    return film


def rate_that_changes(folder: Path) -> Path:
    return joined(folder, [(tone(0.5), 48000, "stereo"), (tone(0.5, rate=16000), 16000, "stereo")])


def channels_that_change(folder: Path) -> Path:
    return joined(folder, [(tone(0.5), 48000, "stereo"), (tone(0.5, channels=1), 48000, "mono")])


def joined(folder: Path, parts: list[tuple[Array, int, str]]) -> Path:
    """Recordings of AAC, one after the other in one file, as live streams have them."""
    film = folder / "film.aac"
    for sound, rate, layout in parts:
        part = write_film(folder / "part.aac", [(sound, "")], rate=rate, layout=layout, codec="aac")
        with film.open("ab") as file:
            file.write(part.read_bytes())
    return film


def still_picture_with_sound(folder: Path) -> Path:
    return picture(folder / "film.mp4", tone(1))


def two_billion_samples(folder: Path) -> Path:
    """A QuickTime film of a second whose index promises 2,147,483,647 samples, in all tables that agree on it."""
    path = write_film(folder / "film.mov", [(tone(1), "eng")])
    data = path.read_bytes()
    most = (1 << 31) - 1
    patched(path, data.index(b"stsz") + 12, ">I", most)
    return patched(path, data.index(b"stts") + 12, ">I", most)


@pytest.mark.parametrize(
    ("make", "seconds"),
    [
        (one_frame, 1 / RATE),
        (eight_channels, 1.0),
        (sixty_four_channels, 1.0),
        (ten_megahertz, 0.1),
        (a_wav_of_four_gigabytes, 1.0),
        (endless, 1.0),
        (not_a_number, 1.0),
        (clock_beyond_the_end, 1.0),
        (clock_in_two_minds, 24.0),
        (rate_that_changes, 1.0),
        (channels_that_change, 1.0),
        (still_picture_with_sound, 1.0),
        (two_billion_samples, 1.0),
    ],
)
def test_what_can_be_heard_is_heard(tmp_path: Path, make: Callable[[Path], Path], seconds: float) -> None:
    outcome = tried(make(tmp_path))
    assert outcome.message == ""
    assert outcome.frames == pytest.approx(seconds * RATE, abs=0.15 * RATE if seconds > 0.01 else 0)


def test_tracks_of_different_lengths_are_each_heard_to_their_end(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", [(tone(2), "eng"), (tone(1), "hin")])
    assert [tried(film, track).frames for track in ("0", "1")] == [2 * RATE, RATE]
