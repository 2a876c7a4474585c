"""The look at a film, with arithmetic for the rough model and the detector: what is found, told and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import Array, FakeSeparator, noise
from stemscribe.audio.source import AudioSource
from stemscribe.errors import ModelError
from stemscribe.jobs.job import Job, Options
from stemscribe.pipeline.stage import Loaded, Progress, StageContext
from stemscribe.pipeline.stages import look as look_module
from stemscribe.pipeline.stages.look import DETECTOR, ROUGH, _parts, _pieces, is_gated, look
from stemscribe.separation.gate import Evidence
from stemscribe.separation.windows import WindowPlan
from stemscribe.speech.activity import HOP, level_db

RATE = 44100
HOP_FRAMES = 512  # at 16 kHz


class Detector:
    """Takes a hop's peak for the probability of speech; counts how often it was loaded."""

    loaded = 0

    def __init__(self, folder: Path) -> None:
        assert folder.name == DETECTOR
        Detector.loaded += 1

    def hear(self, blocks: Iterable[Array]) -> Iterator[tuple[Array, Array]]:
        sound = np.concatenate(list(blocks), axis=1)
        hops = -(-sound.shape[1] // HOP_FRAMES)
        if hops:
            filled = np.pad(sound, ((0, 0), (0, hops * HOP_FRAMES - sound.shape[1])))
            rows = filled.reshape(len(sound), hops, HOP_FRAMES)
            for part in (slice(0, hops // 2), slice(hops // 2, hops)):
                yield np.abs(rows[0, part]).max(axis=-1, initial=0), level_db(rows[:, part])


@pytest.fixture
def rough(monkeypatch: pytest.MonkeyPatch) -> FakeSeparator:
    """Takes a tenth of the mix for vocals; its windows are two seconds."""
    separator = FakeSeparator((0.1,), window_frames=2 * RATE, normalised=False)

    def made(folder: Path, *, stems: tuple[str, ...], bins: int, device: str, threads: int) -> FakeSeparator:
        assert (folder.name, stems, bins, device, threads) == (ROUGH, ("vocals",), 768, "cpu", 3)
        return separator

    monkeypatch.setattr(look_module, "SpleeterOnnx", made)
    monkeypatch.setattr(look_module, "SpeechDetector", Detector)
    Detector.loaded = 0
    return separator


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    return StageContext(
        job=Job("job", "film.mkv", "", "separate", "en", "", "", Options(threads=3)),
        inputs={},
        outputs={},
        models={ROUGH: tmp_path / ROUGH, DETECTOR: tmp_path / DETECTOR},
        environments=tmp_path,
        scratch=tmp_path,
        progress=lambda progress: None,
    )


@pytest.fixture
def looked(tmp_path: Path, context: StageContext) -> Callable[..., Evidence]:
    """Looks at a film with this sound."""

    def looked(sound: Array, **changes: object) -> Evidence:
        soundfile.write(tmp_path / "mix.wav", sound.T, RATE, subtype="FLOAT")
        with AudioSource(tmp_path / "mix.wav") as mix:
            plan = WindowPlan(mix.frames, 4 * RATE, RATE)
            return look(replace(context, **changes), mix, plan)  # type: ignore[arg-type]

    return looked


def one_sided(frames: int) -> Array:
    """The same on both sides, so that mono is no quieter."""
    return np.tile(noise(frames, channels=1), (2, 1))


def test_evidence_tells_speech_and_levels_of_the_mix_and_of_its_parts(
    looked: Callable[..., Evidence], rough: FakeSeparator
) -> None:
    sound = one_sided(7 * RATE + 1234)
    sound[:, 3 * RATE :] *= 0.1
    found = looked(sound)
    assert found.hop == HOP
    hops = -(-round(sound.shape[1] * 16000 / RATE) // HOP_FRAMES)
    assert {len(fact) for fact in (found.mix_speech, found.vocals_speech, found.mix_db, found.others_db)} == {hops}
    np.testing.assert_allclose(found.vocals_speech, 0.1 * found.mix_speech, rtol=0.05, atol=1e-4)
    before, behind = slice(0, 90), slice(100, hops - 1)  # 3 s are 93.75 hops
    left = 10 * np.log10(16000 / RATE)  # what is above 8 kHz is not
    for span, level in ((before, -20.0), (behind, -40.0)):
        assert np.median(found.mix_db[span]) == pytest.approx(level + left, abs=0.5)
    np.testing.assert_allclose(found.vocals_db[:-1], found.mix_db[:-1] - 20, atol=0.05)
    np.testing.assert_allclose(found.others_db[:-1], found.mix_db[:-1] + 20 * np.log10(0.9), atol=0.05)
    assert rough.windows == 4


def test_what_was_found_is_kept_and_not_looked_for_again(
    looked: Callable[..., Evidence], rough: FakeSeparator, tmp_path: Path
) -> None:
    sound = one_sided(5 * RATE)
    first = looked(sound)
    assert (rough.windows, Detector.loaded) == (3, 2)
    told: list[Progress] = []
    second = looked(sound, progress=told.append)
    assert (rough.windows, Detector.loaded, told) == (3, 2, [])
    for name in ("mix_speech", "vocals_speech", "mix_db", "vocals_db", "others_db"):
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
    assert len(list(tmp_path.glob("look-*.npy"))) == 1


def test_what_was_not_finished_is_looked_for_again(
    looked: Callable[..., Evidence], rough: FakeSeparator, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        looked(one_sided(5 * RATE), progress=stop)
    assert not list(tmp_path.glob("look-*"))
    assert len(looked(one_sided(5 * RATE)).mix_db) == 157
    assert 2 + 3 <= rough.windows <= 3 + 3  # of the first look, one more was under way


def test_another_runtime_or_another_length_is_looked_at_for_itself(
    looked: Callable[..., Evidence], rough: FakeSeparator
) -> None:
    looked(one_sided(5 * RATE))
    rough.runtime = "another"
    looked(one_sided(5 * RATE))
    looked(one_sided(3 * RATE))
    assert rough.windows == 3 + 3 + 2


def test_progress_goes_through_the_film_in_seconds(looked: Callable[..., Evidence], rough: FakeSeparator) -> None:
    told: list[Progress] = []
    looked(one_sided(5 * RATE), progress=told.append)
    assert [each.done for each in told] == [0, 2, 4, 5]
    assert {(each.total, each.unit) for each in told} == {(5, "s")}
    assert all(each.film == each.done for each in told)


def test_a_model_that_cannot_be_loaded_is_told_before_the_look_is_complete(
    looked: Callable[..., Evidence], rough: FakeSeparator
) -> None:
    begun: Future[Loaded] = Future()

    def fails(progress: Progress) -> None:
        if progress.done == 2 and not begun.done():
            begun.set_exception(ModelError("It is damaged."))

    with pytest.raises(ModelError, match="damaged"):
        looked(one_sided(9 * RATE), begun=begun, progress=fails)
    assert rough.windows < 5


@pytest.mark.parametrize("frames", [0, 1, 2, RATE // 16000 + 1, 1411, 1412, 2 * RATE, 2 * RATE + 1])
def test_a_film_of_next_to_nothing_is_no_exception(
    looked: Callable[..., Evidence], rough: FakeSeparator, frames: int
) -> None:
    found = looked(one_sided(frames))
    assert len(found.mix_db) == len(found.others_db) == -(-round(frames * 16000 / RATE) // HOP_FRAMES)


@pytest.mark.parametrize(
    ("options", "gated"),
    [
        (Options(), True),
        (Options(engine="torch", separation_model="htdemucs-torch"), True),
        (Options(gate="off"), False),
        (Options(stems="four"), False),
        (Options(stems="six"), False),
        (Options(separation_model=ROUGH), False),
    ],
)
def test_only_vocals_of_the_large_models_are_gated(options: Options, gated: bool) -> None:
    assert is_gated(options) == gated


def spoken_over_music(seconds: int) -> Array:
    """What the detector takes for speech with a pause in every second, over noise 14 dB below it."""
    sound = one_sided(seconds * RATE)
    level = np.where(np.arange(sound.shape[1]) % RATE < RATE // 2, 8.0, 1.6).astype(np.float32)
    return sound * level


def test_where_the_mix_tells_enough_nobody_looks(looked: Callable[..., Evidence], rough: FakeSeparator) -> None:
    """In twenty seconds of speech over noise; but in the ten of silence before them."""
    sound = np.concatenate([np.zeros((2, 10 * RATE), np.float32), spoken_over_music(20)], axis=1)
    found = looked(sound)
    assert rough.windows == 6  # of 15: 10 s of silence, and 1.7 s more
    seconds = np.arange(len(found.mix_db)) * HOP
    unseen = seconds > 15
    assert found.vocals_speech[unseen].max() == 0
    np.testing.assert_allclose(found.others_db[unseen][:-1], found.mix_db[unseen][:-1], atol=0.05)


def test_a_rehearsal_looks_everywhere(looked: Callable[..., Evidence], rough: FakeSeparator) -> None:
    looked(spoken_over_music(8), rehearsal=True)
    assert rough.windows == 4
    looked(spoken_over_music(6), rehearsal=False)
    assert rough.windows == 4


def test_pieces_of_the_mix_are_open_or_not() -> None:
    """Ten seconds of which two and a half are open, in pieces of at most a second."""
    is_open = np.zeros(313, np.bool_)
    is_open[100:178] = True
    pieces = list(_pieces(is_open, 10 * RATE, RATE, RATE))
    assert [piece.start for piece in pieces] == [0, *(piece.stop for piece in pieces[:-1])]
    assert pieces[-1].stop == 10 * RATE
    assert max(piece.stop - piece.start for piece in pieces) == RATE
    found = [piece for piece in pieces if piece.is_open]
    assert (found[0].start, found[-1].stop) == (141_120, 251_194)  # hops of 1411.2 frames
    assert len(found) == 3, "as few windows as can be"


@pytest.mark.parametrize("state", [True, False])
def test_pieces_of_a_mix_that_is_all_one(state: bool) -> None:
    assert list(_pieces(np.full(32, state), RATE, RATE, RATE)) == [(0, RATE, state)]
    assert list(_pieces(np.zeros(0, np.bool_), 0, RATE, RATE)) == []


def test_a_short_piece_is_heard_for_itself(tmp_path: Path, rough: FakeSeparator) -> None:
    """Of a second, a side is wired the wrong way round; the loud sound behind it, which the model sees, is as usual."""
    sound, hops = one_sided(4 * RATE), 30
    until = round(hops * HOP * RATE)
    sound[1, :until] *= -1
    sound[:, until:] *= 5
    soundfile.write(tmp_path / "mix.wav", sound.T, RATE, subtype="FLOAT")
    is_open = np.arange(125) < hops
    with AudioSource(tmp_path / "mix.wav") as mix:
        vocals, others = np.concatenate(list(_parts(mix, rough, is_open, lambda frames: None)), axis=1)
    heard = slice(1000, 15000)  # at 16 kHz
    assert np.std(others[heard]) == pytest.approx(9 * np.std(vocals[heard]), rel=1e-3)
    assert np.std(vocals[heard]) > 0.005
    assert not vocals[17000:].any(), "no question is open there"
