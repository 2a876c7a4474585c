import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from av.container import InputContainer

from fakes import Array, tone, write_film
from stemscribe.audio.decode import TrackDecoder
from stemscribe.errors import MediaError, NoAudioError

RATE = 44100


def decoded(film: Path, *, start: float = 0.0, end: float | None = None, track: int = 0) -> tuple[Array, TrackDecoder]:
    decoder = TrackDecoder(film, track, RATE, start=start, end=end)
    return np.concatenate(list(decoder.blocks()), axis=1), decoder


def clicks(seconds: float, *times: float, rate: int = 48000) -> Array:
    """Silence with a click of 5 ms at each time."""
    sound = np.zeros((2, round(seconds * rate)), np.float32)
    for time in times:
        sound[:, round(time * rate) : round((time + 0.005) * rate)] = 0.8
    return sound


def click_times(sound: Array, offset: float) -> list[float]:
    loud = np.flatnonzero(np.abs(sound).max(axis=0) > 0.3)
    first = loud[np.diff(loud, prepend=-RATE) > RATE // 10]
    return [round(offset + frame / RATE, 3) for frame in first]


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_any_rate_comes_out_at_the_wanted_one(tmp_path: Path, rate: int) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(2, rate=rate), "eng")], rate=rate)
    sound, decoder = decoded(film)
    assert sound.shape == (2, pytest.approx(2 * RATE, abs=1))
    assert decoder.offset == 0.0
    middle = slice(RATE // 2, RATE)
    expected = tone(2, rate=RATE)[:, middle]
    assert np.abs(sound[:, middle] - expected).max() < 2e-3


def test_mono_goes_to_both_sides_as_it_is(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(1, rate=RATE, channels=1), "eng")], rate=RATE, layout="mono")
    sound, _ = decoded(film)
    np.testing.assert_array_equal(sound[0], sound[1])
    assert np.abs(sound).max() == pytest.approx(0.5, abs=1e-3)


def test_the_centre_of_a_surround_film_is_heard_on_both_sides(tmp_path: Path) -> None:
    six = np.zeros((6, RATE), np.float32)
    six[2] = tone(1, rate=RATE, channels=1)[0]  # FL FR FC LFE BL BR
    film = write_film(tmp_path / "film.mkv", [(six, "eng")], rate=RATE, layout="5.1")
    sound, _ = decoded(film)
    left, right = (float(np.abs(side).max()) for side in sound)
    assert left == right == pytest.approx(0.5 * 0.7071 / 2.4142, abs=1e-3)


def test_a_downmix_never_exceeds_full_scale(tmp_path: Path) -> None:
    six = np.tile(tone(1, rate=RATE, channels=1, level=1.0), (6, 1))
    film = write_film(tmp_path / "film.mkv", [(six, "eng")], rate=RATE, layout="5.1")
    sound, _ = decoded(film)
    assert 0.95 < np.abs(sound).max() <= 1.0


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4", "film.wav", "film.ts"])
def test_start_and_end_are_points_on_the_films_clock(tmp_path: Path, name: str) -> None:
    codec = "pcm_s16le" if name.endswith((".mkv", ".wav")) else "aac"
    film = write_film(tmp_path / name, [(clicks(12, 1.5, 4.25, 9.0), "eng")], codec=codec)
    everything, whole = decoded(film)
    assert whole.offset is not None
    for start, end, expected in ((0.0, None, [1.5, 4.25, 9.0]), (3.0, 8.5, [4.25]), (4.0, None, [4.25, 9.0])):
        sound, decoder = decoded(film, start=start, end=end)
        assert decoder.offset == pytest.approx(start, abs=0.03)  # AAC has no sound before its first whole packet
        assert click_times(sound, decoder.offset or 0.0) == pytest.approx(expected, abs=0.025)
        if end is not None:
            assert sound.shape[1] == pytest.approx((end - start) * RATE, abs=2)
    assert click_times(everything, whole.offset) == pytest.approx([1.5, 4.25, 9.0], abs=0.025)


def test_sound_that_begins_late_keeps_its_time(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", [(clicks(5, 1.0), "eng")], start=2.0, with_video=True)
    sound, decoder = decoded(film)
    assert decoder.offset == pytest.approx(2.0, abs=0.002)
    assert click_times(sound, 2.0) == pytest.approx([3.0], abs=0.003)


def test_a_film_whose_clock_does_not_start_at_zero(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", [(clicks(5, 1.0), "eng")], start=100.0)
    sound, decoder = decoded(film, start=0.5)
    assert decoder.offset == pytest.approx(0.5, abs=0.002)
    assert click_times(sound, 0.5) == pytest.approx([1.0], abs=0.003)


def test_silence_takes_the_place_of_missing_sound(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", [(clicks(6, 1.0, 4.0), "eng")], gap=(2.0, 1.5))
    sound, _ = decoded(film)
    assert click_times(sound, 0.0) == pytest.approx([1.0, 5.5], abs=0.03)
    assert sound.shape[1] == pytest.approx(7.5 * RATE, abs=0.05 * RATE)


def test_a_gap_that_ends_within_the_film_is_believed_however_long(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", [(clicks(6, 1.0, 4.0), "eng")], gap=(2.0, 900.0))
    sound, _ = decoded(film)
    assert click_times(sound, 0.0) == pytest.approx([1.0, 904.0], abs=0.03)


def test_a_long_gap_needs_no_memory(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", [(tone(1), "eng")], gap=(0.5, 600.0))
    decoder = TrackDecoder(film, 0, 48000)
    tracemalloc.start()
    try:
        frames = sum(block.shape[1] for block in decoder.blocks())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert frames == pytest.approx(601 * 48000, abs=4800)
    assert peak < 20e6  # all of the silence would be 230 MB


def test_a_film_that_cannot_be_sought_in_is_read_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    film = write_film(tmp_path / "film.mkv", [(clicks(6, 1.0, 4.0), "eng")])

    def fail(decoder: TrackDecoder, container: InputContainer) -> None:
        raise av.PermissionError(1, "Operation not permitted")

    expected, _ = decoded(film, start=3.0)
    monkeypatch.setattr(TrackDecoder, "_seek", fail)
    sound, decoder = decoded(film, start=3.0)
    assert decoder.offset == pytest.approx(3.0)
    assert click_times(sound, 3.0) == click_times(expected, 3.0) == pytest.approx([4.0], abs=0.01)
    assert "film.mkv cannot be sought in (Operation not permitted): it is read from its beginning" in caplog.text


@pytest.mark.parametrize("rate", [1, 999, 10_000_001])
def test_frames_of_rates_that_nobody_records_are_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(2), "eng")])
    real = av.AudioFrame.from_ndarray(np.zeros((2, 480), np.float32), format="fltp", layout="stereo")
    odd = av.AudioFrame.from_ndarray(np.zeros((2, 480), np.float32), format="fltp", layout="stereo")
    real.sample_rate, odd.sample_rate = 48000, rate
    decoder = TrackDecoder(film, 0, 48000)

    class Packet:
        def decode(self) -> list[av.AudioFrame]:
            return [real, odd]

    monkeypatch.setattr(decoder, "_packets", lambda container: iter([Packet()]))
    assert sum(block.shape[1] for block in decoder.blocks()) == 480
    assert decoder.damaged_packets == 1


def frames_at(*times: float, rate: int = 48000) -> list[av.AudioFrame]:
    """Decoded frames of half a second that begin with a click."""
    made = []
    for time in times:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(clicks(0.5, 0.0)), format="fltp", layout="stereo")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(time * rate)
        made.append(frame)
    return made


@pytest.mark.parametrize(
    ("times", "heard", "seconds"),
    [
        ((0.0, 0.5, 1.0, 1.5), [0.0, 0.5, 1.0, 1.5], 2.0),
        ((0.0, 0.5, 0.7, 1.2), [0.0, 0.5, 1.2], 1.7),  # an overlap: what is there already is dropped, click and all
        ((0.0, 0.05, 0.5), [0.0, 0.55], 1.05),  # within the tolerance nothing is dropped
        ((0.0, 0.5, 1000.0, 1000.5), [0.0, 0.5, 1.0, 1.5], 2.0),  # out of the film: not believed
        ((50.0, 50.5, 0.0, 0.5), [50.0, 50.5, 51.0, 51.5], 2.0),  # files joined together
    ],
)
def test_what_timestamps_are_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: tuple[float, ...], heard: list[float], seconds: float
) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(60), "eng")])
    decoder = TrackDecoder(film, 0, 48000)
    monkeypatch.setattr(decoder, "_frames", lambda container: iter(frames_at(*times)))
    sound = np.concatenate(list(decoder.blocks()), axis=1)
    loud = np.flatnonzero(np.abs(sound[0]) > 0.3)
    starts = loud[np.diff(loud, prepend=-48000) > 1000] / 48000 + (decoder.offset or 0.0)
    assert starts.tolist() == pytest.approx(heard, abs=0.001)
    assert sound.shape[1] / 48000 == pytest.approx(seconds, abs=0.001)


def test_a_span_without_sound_is_said(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(2), "eng")])
    with pytest.raises(NoAudioError, match=r"no sound that can be decoded from 0:05\.000 to 0:06\.000"):
        decoded(film, start=5.0, end=6.0)


def test_damaged_packets_are_silent_and_time_goes_on(corpus: Path, tmp_path: Path) -> None:
    data = bytearray((corpus / "video" / "sintel_trailer.mp4").read_bytes())
    third = len(data) // 3
    data[third : third + 60_000] = b"\xff" * 60_000
    (tmp_path / "damaged.mp4").write_bytes(data)
    whole, _ = decoded(corpus / "video" / "sintel_trailer.mp4")
    damaged, decoder = decoded(tmp_path / "damaged.mp4")
    assert decoder.damaged_packets > 0
    assert damaged.shape[1] == pytest.approx(whole.shape[1], abs=RATE // 10)
    end = slice(-5 * RATE, -RATE)
    assert np.abs(damaged[:, end] - whole[:, end]).max() < 0.01


class Stumbling:
    """A container that fails after every few packets, a number of times."""

    def __init__(self, container: InputContainer, error: Exception, times: int) -> None:
        self.streams, self.error, self.times = container.streams, error, times
        self.packets = container.demux(container.streams.audio[0])

    def demux(self, stream: object) -> Iterator[av.Packet]:
        for count, packet in enumerate(self.packets):
            yield packet
            if count == 5 and self.times:
                self.times -= 1
                raise self.error


def stumbling(film: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> TrackDecoder:
    decoder = TrackDecoder(film, 0, RATE)
    real = decoder._packets
    monkeypatch.setattr(decoder, "_packets", lambda container: real(Stumbling(container, error, times)))  # type: ignore[arg-type]
    return decoder


def test_a_film_that_cannot_be_read_any_further_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(5), "eng")])
    decoder = stumbling(film, monkeypatch, av.OSError(5, "Input/output error"), 1)
    with pytest.raises(MediaError, match=r"film\.wav cannot be read to its end: Input/output error\."):
        list(decoder.blocks())


def test_where_the_demuxer_stumbles_the_rest_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(5), "eng")])
    decoder = stumbling(film, monkeypatch, av.InvalidDataError(1, "damage"), 3)
    sound = np.concatenate(list(decoder.blocks()), axis=1)
    assert sound.shape[1] == pytest.approx(5 * RATE, abs=2)
    assert decoder.damaged_packets == 3


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf, 1e9, 1e30])
def test_a_damaged_sample_is_silent_or_cut_off_and_nothing_else_is_lost(tmp_path: Path, damage: float) -> None:
    sound = tone(2, rate=RATE)
    sound[0, RATE] = damage
    soundfile.write(tmp_path / "film.wav", sound.T, RATE, subtype="FLOAT")
    mixed, decoder = decoded(tmp_path / "film.wav")
    assert decoder.damaged_samples == 1
    assert np.abs(mixed[0, RATE]) in (0.0, 8.0)
    np.testing.assert_array_equal(mixed[1], tone(2, rate=RATE)[1])


@pytest.mark.parametrize("channels", [3, 5, 8, 9, 16])
def test_channels_without_a_layout_are_heard(tmp_path: Path, channels: int) -> None:
    soundfile.write(tmp_path / "film.wav", tone(1, rate=RATE, channels=channels).T, RATE)
    mixed, _ = decoded(tmp_path / "film.wav")
    assert mixed.shape == (2, RATE)
    assert np.abs(mixed).max() > 0.3
