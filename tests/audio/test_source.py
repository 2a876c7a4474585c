import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from fakes import noise
from stemscribe.audio.resample import Resampler
from stemscribe.audio.source import AudioSource
from stemscribe.errors import MediaError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.flac", noise(50_000).T, 44100, subtype="PCM_24")
    return tmp_path / "a.flac"


def test_any_span_is_read_with_silence_beyond_the_ends(file: Path) -> None:
    whole = soundfile.read(file, dtype="float32")[0].T
    with AudioSource(file) as source:
        np.testing.assert_array_equal(source.read(123, 4567), whole[:, 123:4567])
        np.testing.assert_array_equal(source.read(-10, 5), np.pad(whole[:, :5], ((0, 0), (10, 0))))
        np.testing.assert_array_equal(source.read(49_990, 50_020), np.pad(whole[:, -10:], ((0, 0), (0, 20))))
        assert source.read(60_000, 60_010).tolist() == [[0.0] * 10] * 2


@pytest.mark.parametrize("frames", [1, 999, 50_000, 60_000])
def test_blocks_are_the_whole_file(file: Path, frames: int) -> None:
    if frames == 1:
        frames = 7001
    with AudioSource(file) as source:
        together = np.concatenate(list(source.blocks(frames)), axis=1)
    np.testing.assert_array_equal(together, soundfile.read(file, dtype="float32")[0].T)


@pytest.mark.parametrize("frames", [512, 4410, 100_000])
def test_streamed_resampling_equals_one_shot(file: Path, frames: int) -> None:
    mono = soundfile.read(file, dtype="float32")[0].mean(axis=1)
    with AudioSource(file) as source:
        streamed = np.concatenate(list(source.mono_blocks(16000, frames)), axis=1)[0]
    expected = soxr.resample(mono, 44100, 16000)
    assert len(streamed) == len(expected)
    np.testing.assert_allclose(streamed, expected, atol=1e-6)


def test_equal_rates_are_left_alone() -> None:
    block = noise(100)
    assert Resampler(44100, 44100, 2).push(block, last=True) is block


def test_the_gain_it_was_written_at_is_taken_back(file: Path) -> None:
    with AudioSource(file) as as_it_is, AudioSource(file, gain=0.5) as as_it_was:
        np.testing.assert_array_equal(as_it_was.read(5, 99), 2 * as_it_is.read(5, 99))


def test_sides_that_cancel_each_other_out_are_still_heard(tmp_path: Path) -> None:
    voice = noise(44_100, channels=1)[0]
    soundfile.write(tmp_path / "a.wav", np.stack([voice, -voice], axis=1), 44100, subtype="FLOAT")
    with AudioSource(tmp_path / "a.wav") as source:
        np.testing.assert_allclose(source.read_mono(0, 44_100, 44100)[0], voice, atol=1e-7)
        assert np.abs(np.concatenate(list(source.mono_blocks(16000)), axis=1)).max() > 0.1


def test_how_sides_go_together_is_decided_once_for_a_span(tmp_path: Path) -> None:
    """Music that is wired the right way round must not hide a voice that is not, for as long as it plays."""
    voice, music = noise(12 * 8000, channels=1)[0], np.zeros(12 * 8000, np.float32)
    music[6 * 8000 : 8 * 8000] = noise(2 * 8000, channels=1, seed=1, level=0.02)[0]
    soundfile.write(tmp_path / "a.wav", np.stack([voice + music, music - voice], axis=1), 8000, subtype="FLOAT")
    with AudioSource(tmp_path / "a.wav") as source:
        for read in (1 << 12, 1 << 20):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("stemscribe.audio.source.MONO_FRAMES", read)
                np.testing.assert_allclose(source.read_mono(0, source.frames, 8000)[0], voice, atol=1e-7)


@pytest.mark.parametrize("content", [b"", b"not sound at all"])
def test_what_is_not_sound_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.flac").write_bytes(content)
    with pytest.raises(MediaError, match="cannot be read as sound"):
        AudioSource(tmp_path / "a.flac")


def test_damage_within_a_file_is_said(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2 :] = b""
    file.write_bytes(data)
    with AudioSource(file) as source, pytest.raises(MediaError):
        for block in source.blocks():
            assert block.shape[1]


def test_it_is_not_closed_while_another_thread_reads(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, order = threading.Event(), threading.Event(), []

    def slow(self: AudioSource, first: int, last: int) -> np.ndarray:
        begun.set()
        go_on.wait(10)
        order.append("open" if not self._file.closed else "closed")
        return np.zeros((last - first, 2), np.float32)

    monkeypatch.setattr(AudioSource, "_file_frames", slow)
    source = AudioSource(file)
    reader = threading.Thread(target=source.read, args=(0, 10))
    reader.start()
    assert begun.wait(10)
    closer = threading.Thread(target=source.__exit__, args=(None, None, None))
    closer.start()
    closer.join(0.2)
    go_on.set()
    for thread in (reader, closer):
        thread.join(10)
    assert order == ["open"]
    assert source._file.closed
