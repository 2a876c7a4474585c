import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import noise, tone, write_film
from stemscribe.audio.mix import write_mix
from stemscribe.audio.probe import probe
from stemscribe.audio.source import AudioSource
from stemscribe.errors import NoAudioError


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
