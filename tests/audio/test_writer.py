import hashlib
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import noise
from stemscribe.audio import writer
from stemscribe.audio.probe import probe
from stemscribe.audio.source import AudioSource
from stemscribe.audio.writer import StemWriter
from stemscribe.errors import StorageError, UsageError
from waves import check_rf64, digest_by_ffmpeg, digest_by_soundfile, digest_of_data


@pytest.mark.parametrize(
    ("form", "subtype", "atol"),
    [
        ("wav", "pcm16", 2**-15),
        ("wav", "pcm24", 2**-23),
        ("wav", "float", 0.0),
        ("flac", "pcm16", 2**-15),
        ("flac", "pcm24", 2**-23),
    ],
)
def test_what_is_written_can_be_read_back(tmp_path: Path, form: str, subtype: str, atol: float) -> None:
    sound = noise(10_000)
    with StemWriter(tmp_path / f"a.{form}", 44100, 2, 10_000, form=form, subtype=subtype) as stem:  # type: ignore[arg-type]
        for start in range(0, 10_000, 999):
            stem.write(sound[:, start : start + 999])
    back, rate = soundfile.read(tmp_path / f"a.{form}", dtype="float32")
    assert rate == 44100
    np.testing.assert_allclose(back.T, sound, atol=atol)


def test_mp3_has_the_highest_bit_rate(tmp_path: Path) -> None:
    with StemWriter(tmp_path / "a.mp3", 44100, 2, 441_000, form="mp3") as stem:
        stem.write(noise(441_000))
    assert (tmp_path / "a.mp3").stat().st_size == pytest.approx(10 * 320_000 / 8, rel=0.03)
    assert soundfile.info(tmp_path / "a.mp3").duration == pytest.approx(10, abs=0.1)


def test_a_stem_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with pytest.raises(RuntimeError, match="in the middle"), StemWriter(path, 44100, 2, 100) as stem:
        stem.write(noise(50))
        assert not path.exists()
        raise RuntimeError("in the middle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
def test_a_stem_that_is_short_when_it_is_closed_does_not_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """libsndfile says nothing when the disk fills while it writes the end of a FLAC or an MP3."""
    real = soundfile.SoundFile.close

    def torn(file: soundfile.SoundFile) -> None:
        real(file)
        if file.mode == "w":
            path = Path(file.name)
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

    path = tmp_path / f"a.{form}"
    with (
        monkeypatch.context() as patch,
        pytest.raises(StorageError, match="Could not write"),
        StemWriter(path, 44100, 2, 200_000, form=form) as stem,  # type: ignore[arg-type]
    ):
        stem.write(noise(200_000))
        patch.setattr(soundfile.SoundFile, "close", torn)
    assert list(tmp_path.iterdir()) == []


def test_an_older_stem_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt), StemWriter(path, 44100, 2, 100) as stem:
        stem.write(noise(50))
        raise KeyboardInterrupt
    assert path.read_bytes() == b"older"


@pytest.mark.parametrize("subtype", ["pcm16", "pcm24", "float"])
def test_the_same_sound_gives_the_same_bytes_at_any_time(tmp_path: Path, subtype: str) -> None:
    for name in ("one.wav", "two.wav"):
        with StemWriter(tmp_path / name, 44100, 2, 100, subtype=subtype) as stem:  # type: ignore[arg-type]
            stem.write(noise(100))
        time.sleep(1.1)  # libsndfile's time stamps have a resolution of one second
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()


def test_beyond_four_gibibytes_a_wav_is_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_WAV_LIMIT", 1000)
    with StemWriter(tmp_path / "long.wav", 44100, 2, 300) as stem:
        stem.write(noise(300))
    check_rf64(tmp_path / "long.wav", 300, 4)
    assert soundfile.info(tmp_path / "long.wav").frames == 300


@pytest.mark.slow
def test_a_stem_of_more_than_four_gibibytes_is_read_back_whole_by_every_reader(tmp_path: Path) -> None:
    """4.1 GiB, really written: what a program makes of sizes that 32 bits cannot hold shows only then."""
    path, sound = tmp_path / "long.wav", noise(1 << 20)
    pieces = 1050 // 2  # of 8 MiB: two channels of float
    frames = pieces * sound.shape[1]
    written = hashlib.sha256()
    try:
        with StemWriter(path, 44100, 2, frames, subtype="float") as stem:
            for index in range(pieces):
                piece = np.roll(sound, 997 * index, axis=1)
                written.update(np.ascontiguousarray(piece.T))
                stem.write(piece)
        assert path.stat().st_size > 4.1 * 1024**3
        check_rf64(path, frames, 8)
        wanted = written.hexdigest()
        assert digest_of_data(path) == wanted
        assert digest_by_soundfile(path, "float32") == wanted
        assert digest_by_ffmpeg(path) == wanted
        with AudioSource(path) as source:
            assert (source.frames, source.channels) == (frames, 2)
            np.testing.assert_array_equal(source.read(frames - 1000, frames), piece[:, -1000:])
            beyond = 2**32 // 8 + 5  # the first frames past the limit of 32 bits
            start = beyond % sound.shape[1]
            piece = np.roll(sound, 997 * (beyond // sound.shape[1]), axis=1)
            np.testing.assert_array_equal(source.read(beyond, beyond + 1000), piece[:, start : start + 1000])
        assert probe(path).duration == pytest.approx(frames / 44100, abs=0.01)
    finally:
        path.unlink(missing_ok=True)


def test_the_limit_is_that_of_32_bit_sizes() -> None:
    just_fits, too_long = 2**30 - 2**15, 2**30  # frames of two 16 bit channels: 4 bytes each
    assert writer._arguments("wav", "pcm16", 2 * just_fits)["format"] == "WAV"
    assert writer._arguments("wav", "pcm16", 2 * too_long)["format"] == "RF64"


def test_peaks_are_clipped_and_do_not_wrap_around(tmp_path: Path) -> None:
    with StemWriter(tmp_path / "a.wav", 44100, 1, 2) as stem:
        stem.write(np.array([[1.7, -1.7]], np.float32))
    assert soundfile.read(tmp_path / "a.wav", dtype="int16")[0].tolist() == [32767, -32768]


def test_mp3_has_no_sample_formats(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="MP3 has no sample formats to choose from"):
        StemWriter(tmp_path / "a.mp3", 44100, 2, 100, form="mp3", subtype="float")


def test_flac_cannot_hold_floats(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="FLAC cannot hold float samples"):
        StemWriter(tmp_path / "a.flac", 44100, 2, 100, form="flac", subtype="float")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    @contextmanager
    def full(target: Path):  # type: ignore[no-untyped-def]
        yield Path("/dev/full")

    monkeypatch.setattr(writer, "replacing", full)
    with (
        pytest.raises(StorageError, match=r"Could not write .*a\.wav"),
        StemWriter(tmp_path / "a.wav", 44100, 2, 10**6) as stem,
    ):
        for _ in range(20):
            stem.write(noise(50_000))
