import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from msgspec import UNSET

from fakes import Array, noise, tone, write_film
from stemscribe.audio.mix import CentreInfo, MixInfo, write_mix
from stemscribe.audio.probe import probe
from stemscribe.audio.source import AudioSource
from stemscribe.errors import NoAudioError
from stemscribe.records import read_record, to_json, write_record

RATE = 48000


def test_the_mix_and_what_is_known_of_it(tmp_path: Path) -> None:
    sound = noise(100_000, level=0.1) + np.float32(0.02)
    film = write_film(tmp_path / "film.wav", [(sound, "eng")], rate=44100)
    info = write_mix(film, probe(film).tracks[0], tmp_path / "mix.flac", 44100)
    written, rate = soundfile.read(tmp_path / "mix.flac", dtype="float64")
    mono = written.mean(axis=1)
    assert (rate, info.frames, info.gain, info.offset) == (44100, len(written), 1.0, 0.0)
    assert info.mean == pytest.approx(mono.mean(), abs=1e-9)
    assert info.std == pytest.approx(mono.std(ddof=1), abs=1e-9)
    assert info.peak == pytest.approx(np.abs(written).max(), abs=1e-7)


def test_a_film_beyond_full_scale_is_not_clipped(tmp_path: Path) -> None:
    loud = tone(2, rate=44100, level=1.4)
    film = write_film(tmp_path / "film.mkv", [(loud, "eng")], rate=44100, codec="pcm_f32le")
    info = write_mix(film, probe(film).tracks[0], tmp_path / "mix.flac", 44100)
    assert info.peak == pytest.approx(1.4, abs=1e-3)
    assert info.gain == 0.5
    with AudioSource(tmp_path / "mix.flac", gain=info.gain) as mix:
        heard = mix.read(0, info.frames)
    np.testing.assert_allclose(heard, loud, atol=2**-22)


def test_reading_beyond_the_ends_gives_silence(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(1, rate=44100), "eng")], rate=44100)
    info = write_mix(film, probe(film).tracks[0], tmp_path / "mix.flac", 44100)
    with AudioSource(tmp_path / "mix.flac", gain=info.gain) as mix:
        block = mix.read(-100, info.frames + 50)
    assert block.shape == (2, info.frames + 150)
    assert not block[:, :100].any()
    assert not block[:, -50:].any()


def test_less_than_a_frame_is_no_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "film.wav", np.zeros((1, 1)), 192_000)
    with pytest.raises(NoAudioError, match="less sound than one frame"):
        write_mix(tmp_path / "film.wav", probe(tmp_path / "film.wav").tracks[0], tmp_path / "mix.flac", 44100)
    assert not (tmp_path / "mix.flac").exists()


@pytest.fixture(scope="session")
def speech() -> Array:
    samples, rate = soundfile.read(Path(__file__).parents[1] / "media" / "jfk_1961.flac", dtype="float32")
    said: Array = soxr.resample(samples, rate, RATE)
    return said


def surround(speech: Array, layout: str = "5.1") -> Array:
    """Speech in the centre alone, and music (so to speak) in all other channels."""
    channels = {"3.0": 3, "5.0": 5, "5.1": 6}[layout]
    sound = np.stack(
        [tone(len(speech) / RATE, channels=1, hertz=110.0 * (n + 1), level=0.2)[0] for n in range(channels)]
    )
    sound[2] = speech
    return sound


def kept(film: Path, folder: Path, **span: float) -> tuple[MixInfo, Array, Array]:
    """What is known of a film's mix, and the mix and its centre at the film's level."""
    files = folder / "mix.flac", folder / "centre.flac"
    info = write_mix(film, probe(film).tracks[0], files[0], 44100, centre=files[1], **span)
    assert isinstance(info.centre, CentreInfo)
    with AudioSource(files[0], gain=info.gain) as mix, AudioSource(files[1], gain=info.centre.gain) as centre:
        assert (mix.frames, centre.frames, centre.channels) == (info.frames, info.frames, 1)
        return info, mix.read(0, mix.frames), centre.read(0, centre.frames)[0]


@pytest.mark.parametrize(("codec", "name"), [("aac", "film.mp4"), ("flac", "film.mkv")])
@pytest.mark.parametrize("layout", ["3.0", "5.0", "5.1"])
def test_the_centre_holds_the_speech_alone_and_in_time_with_the_mix(
    tmp_path: Path, speech: Array, codec: str, name: str, layout: str
) -> None:
    film = write_film(tmp_path / name, [(surround(speech, layout), "eng")], codec=codec, layout=layout)
    info, mix, centre = kept(film, tmp_path)
    said = soxr.resample(speech, RATE, 44100)
    frames = min(len(said), len(centre))
    assert np.corrcoef(centre[:frames], said[:frames])[0, 1] > 0.99
    # Where in the mix does the centre sound? Music has all its energy below 1 kHz, and is taken out.
    high = [np.diff(sound[:frames], n=3) for sound in (mix.mean(axis=0), centre)]
    spectra = [np.fft.rfft(sound, 2 * frames) for sound in high]
    lag = int(np.argmax(np.fft.irfft(spectra[0] * np.conj(spectra[1]))))
    assert lag == 0
    assert isinstance(info.centre, CentreInfo)
    assert info.centre.std == pytest.approx(centre.std(), rel=1e-3)
    assert info.centre.peak == pytest.approx(np.abs(centre).max(), rel=1e-3)
    assert info.centre.is_audible


@pytest.mark.parametrize("clip", ["in/test.mp4", "big_buck_bunny_5s_6ch.mp4", "loud"])
def test_the_mix_is_the_same_with_and_without_the_centre(
    tmp_path: Path, corpus: Path, speech: Array, clip: str
) -> None:
    """Byte by byte: of a stereo film, a film with a centre, and one that is read twice because it is too loud."""
    if clip == "loud":
        loud = 4 * surround(speech)
        film = write_film(tmp_path / "loud.mkv", [(loud, "eng")], codec="pcm_f32le", layout="5.1")
    else:
        film = Path(__file__).parents[2] / clip if clip.startswith("in/") else corpus / "video" / clip
    track = probe(film).tracks[0]
    plain = write_mix(film, track, tmp_path / "plain.flac", 44100)
    beside = write_mix(film, track, tmp_path / "beside.flac", 44100, centre=tmp_path / "centre.flac")
    assert (tmp_path / "plain.flac").read_bytes() == (tmp_path / "beside.flac").read_bytes()
    assert plain.centre is UNSET
    assert (plain.gain < 1.0) == (clip == "loud")
    assert to_json(plain).rstrip(b"\n }") in to_json(beside)


def test_start_end_and_gaps_are_those_of_the_mix(tmp_path: Path) -> None:
    clicks = np.zeros((6, 8 * RATE), np.float32)
    for second in (1, 3, 6):
        clicks[[0, 2], second * RATE : second * RATE + 200] = 0.8
    film = write_film(tmp_path / "film.mkv", [(clicks, "eng")], layout="5.1", codec="pcm_s16le", gap=(4.0, 1.5))
    info, mix, centre = kept(film, tmp_path, start=2.0, end=9.0)
    assert info.frames == pytest.approx(7 * 44100, abs=2)

    def onsets(sound: Array) -> list[int]:
        loud = np.flatnonzero(np.abs(sound) > 0.5 * np.abs(sound).max())
        return [int(frame) for frame in loud[np.diff(loud, prepend=-44100) > 4410]]

    assert onsets(centre) == onsets(mix[0])
    assert [round(frame / 44100, 2) for frame in onsets(centre)] == [1.0, 5.5]


def test_a_centre_beyond_full_scale_is_not_clipped(tmp_path: Path, speech: Array) -> None:
    loud = surround(speech / np.abs(speech).max() * np.float32(3.0))
    film = write_film(tmp_path / "film.mkv", [(loud, "eng")], codec="pcm_f32le", layout="5.1")
    info, _, centre = kept(film, tmp_path)
    assert isinstance(info.centre, CentreInfo)
    assert info.centre.peak == pytest.approx(np.abs(centre).max(), rel=1e-6)
    assert info.centre.peak == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize(("level", "audible"), [(0.0, False), (1e-4, False), (0.01, True)])
def test_a_centre_without_anything_in_it_is_told(tmp_path: Path, speech: Array, level: float, audible: bool) -> None:
    sound = surround(speech * np.float32(level / speech.std()))
    film = write_film(tmp_path / "film.mkv", [(sound, "eng")], codec="pcm_f32le", layout="5.1")
    info, _, _ = kept(film, tmp_path)
    assert isinstance(info.centre, CentreInfo)
    assert info.centre.is_audible == audible


def test_the_centre_is_silent_where_the_sound_has_none(tmp_path: Path, speech: Array) -> None:
    """As broadcasts change to stereo for a while."""
    parts = []
    for layout, sound in (("5.1", surround(speech)), ("stereo", tone(4)), ("5.1", surround(speech))):
        codec = "ac3"
        parts.append(write_film(tmp_path / f"{len(parts)}.mkv", [(sound, "eng")], layout=layout, codec=codec))
    film = tmp_path / "film.ac3"
    film.write_bytes(b"".join(ac3(part) for part in parts))
    _, mix, centre = kept(film, tmp_path)
    second = 44100
    stereo = slice(12 * second, 14 * second)
    assert not centre[stereo].any()
    assert np.abs(mix[:, stereo]).max() > 0.3
    assert np.abs(centre[: 10 * second]).max() > 0.1
    assert np.abs(centre[17 * second :]).max() > 0.1


def ac3(film: Path) -> bytes:
    with av.open(str(film)) as container:
        return b"".join(bytes(packet) for packet in container.demux(audio=0))


def test_what_was_known_of_a_mix_before_there_was_a_centre_can_still_be_read(tmp_path: Path) -> None:
    info = MixInfo(1, 44100, 0.0, 0.1, 1.2, 0.5, 0, "", 0.0, 0, 0)
    write_record(tmp_path / "mix.json", info)
    assert b"centre" not in (tmp_path / "mix.json").read_bytes()
    assert read_record(tmp_path / "mix.json", MixInfo) == info


PEAK = """
import sys
from pathlib import Path
from stemscribe.audio.mix import write_mix
from stemscribe.audio.probe import probe
from stemscribe.audio.source import AudioSource
from stemscribe.pipeline.resources import peak_memory
film = Path(sys.argv[1])
write_mix(film, probe(film).tracks[0], film.with_suffix(".flac"), 44100)
print(peak_memory())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs getrusage")
def test_an_hour_needs_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    peaks = []
    for seconds in (60, 3600):
        film = tmp_path / f"{seconds}.wav"
        with soundfile.SoundFile(film, "w", 48000, 1) as file:
            for second in range(0, seconds, 60):
                file.write(0.1 * noise(60 * 48000, channels=1, seed=second)[0])
        done = subprocess.run([sys.executable, "-c", PEAK, str(film)], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] <= 1.05 * peaks[0]
