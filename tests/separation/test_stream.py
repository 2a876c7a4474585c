from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fakes import Array, FakeSeparator, FaultySeparator, noise
from stemscribe.choices import Quality
from stemscribe.separation.checks import Doubt, Kind
from stemscribe.separation.gate import Treatment
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.overlap_add import triangle
from stemscribe.separation.stream import OVERLAPS, Normalisation, ReadMix, plan_for, separate, separate_again

WINDOW = 100
Spoil = Callable[[Array], None]
LENGTHS = [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 5 * WINDOW + 3]


def reader(mix: Array) -> ReadMix:
    def read(start: int, stop: int) -> Array:
        assert 0 <= start <= stop <= mix.shape[1]
        return mix[:, start:stop]

    return read


def streamed(
    folder: Path,
    mix: Array,
    separator: FakeSeparator,
    level: Normalisation,
    stop_after: int = 9999,
    treated: Sequence[Treatment] = (),
) -> Array:
    plan = plan_for(separator, mix.shape[1])
    with Journal(folder, Layout(plan, separator.stems, 2)) as journal:
        for window in separate(reader(mix), separator, plan, level, journal, treated):
            if window.index + 1 == stop_after:
                break
        parts = [finished for _, finished in journal.finished()]
    return np.concatenate(parts, -1) if parts else np.zeros((len(separator.stems), 2, 0), np.float32)


def whole_array(mix: Array, separator: FakeSeparator, level: Normalisation) -> Array:
    """Demucs' `apply_model`, on everything at once."""
    normal = level.apply(mix)
    frames = mix.shape[1]
    total = np.zeros((len(separator.stems), 2, frames), np.float32)
    weights = np.zeros(frames, np.float32)
    for offset in range(0, frames, int(0.75 * WINDOW)):
        length = min(WINDOW, frames - offset)
        start = offset - (WINDOW - length) // 2
        seen = np.zeros((2, WINDOW), np.float32)
        for index in range(WINDOW):
            if 0 <= start + index < frames:
                seen[:, index] = normal[:, start + index]
        trimmed = separator.separate(seen)[..., (WINDOW - length) // 2 :][..., :length]
        total[..., offset : offset + length] += triangle(WINDOW)[:length] * trimmed
        weights[offset : offset + length] += triangle(WINDOW)[:length]
    return level.undo(total / weights)


class Scrambler(FakeSeparator):
    """Depends on where a frame lies in the window, and on its neighbours: any slip of a frame shows."""

    def separate(self, mix: Array) -> Array:
        position = np.linspace(-1, 1, self.window_frames, dtype=np.float32)
        return super().separate(mix) * position + np.roll(mix, 3, axis=-1)


@pytest.mark.parametrize("frames", [length for length in LENGTHS if length])
def test_streamed_equals_one_shot(tmp_path: Path, frames: int) -> None:
    mix, level = noise(frames), Normalisation(0.01, 0.2)
    separator = Scrambler((0.5, 2.0), ("vocals", "other"))
    np.testing.assert_array_equal(streamed(tmp_path, mix, separator, level), whole_array(mix, separator, level))


@pytest.mark.parametrize("frames", LENGTHS)
def test_an_identity_gives_the_mix_back(tmp_path: Path, frames: int) -> None:
    mix = noise(frames)
    stems = streamed(tmp_path, mix, FakeSeparator(), Normalisation(0.003, 0.1))
    # Normalising and back, weighting and back: four roundings of float32.
    np.testing.assert_allclose(stems, mix[None], atol=4e-7)


@pytest.mark.parametrize("stop_after", range(1, 8))
def test_a_resumed_run_gives_the_same_bits_and_computes_nothing_twice(tmp_path: Path, stop_after: int) -> None:
    mix, level = noise(5 * WINDOW + 3), Normalisation(0.01, 0.2)
    undisturbed = streamed(tmp_path / "undisturbed", mix, Scrambler(), level)
    first, second = Scrambler(), Scrambler()
    streamed(tmp_path / "resumed", mix, first, level, stop_after)
    resumed = streamed(tmp_path / "resumed", mix, second, level)
    np.testing.assert_array_equal(resumed, undisturbed)
    total = len(plan_for(first, mix.shape[1]))
    assert first.windows <= min(stop_after + 1, total), "more than one was under way"
    assert second.windows == total - stop_after


class Batched(Scrambler):
    """A device that computes some windows at once, and whose last bits tell in which company and place it was."""

    batch = 3

    def separate_batch(self, mixes: Sequence[Array]) -> list[Array]:
        assert 1 <= len(mixes) <= self.batch
        company = len(mixes) + sum(float(mix[0, 0]) for mix in mixes)
        return [self.separate(mix) + np.float32((place + company) / 1000) for place, mix in enumerate(mixes)]


class WithoutCompany(Batched):
    def separate_batch(self, mixes: Sequence[Array]) -> list[Array]:
        return [self.separate(mix) for mix in mixes]


@pytest.mark.parametrize("frames", [length for length in LENGTHS if length])
def test_windows_by_the_batch_give_the_same(tmp_path: Path, frames: int) -> None:
    mix, level = noise(frames), Normalisation(0.01, 0.2)
    alone, together = (
        streamed(tmp_path / kind.__name__, mix, kind((0.5, 2.0), ("vocals", "other")), level)
        for kind in (Scrambler, WithoutCompany)
    )
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("treated", [(), tuple(["separated", "passed", "separated", "silent", "silent", "silent"] * 2)])
def test_a_batch_is_made_of_the_same_windows_wherever_a_run_begins(
    tmp_path: Path, treated: Sequence[Treatment]
) -> None:
    mix, level = noise(8 * int(0.75 * WINDOW)), Normalisation(0.01, 0.2)
    undisturbed = streamed(tmp_path / "undisturbed", mix, Batched(), level, treated=treated[:8])
    for stop_after in range(1, 9):
        folder = tmp_path / str(stop_after)
        streamed(folder, mix, Batched(), level, stop_after, treated[:8])
        np.testing.assert_array_equal(streamed(folder, mix, Batched(), level, treated=treated[:8]), undisturbed)
    separator = Batched()
    plan, parts = plan_for(separator, mix.shape[1]), []
    for index in range(len(plan)):
        parts.append(separate_again(reader(mix), separator, plan, level, index, treated[:8]).finished)
    np.testing.assert_array_equal(np.concatenate(parts, -1), undisturbed)


def test_silence_stays_silence(tmp_path: Path) -> None:
    stems = streamed(tmp_path, np.zeros((2, 250), np.float32), FakeSeparator(), Normalisation(0.0, 0.0))
    assert not stems.any()


def test_the_plan_of_the_real_model_is_that_of_demucs() -> None:
    plan = plan_for(FakeSeparator(window_frames=343_980), 1_000_000)
    assert plan.stride_frames == int((1 - 0.25) * 343_980) == 257_985


def killed_and_resumed(folder: Path, mix: Array, separator: FakeSeparator, *stops: int) -> tuple[Array, Journal]:
    """The stems, and the closed journal, of a separation that is stopped after each of `stops` windows."""
    level = Normalisation(float(mix.mean()), 0.1)
    for stop in stops:
        streamed(folder, mix, separator, level, stop)
    stems = streamed(folder, mix, separator, level)
    with Journal(folder, Layout(plan_for(separator, mix.shape[1]), separator.stems, 2)) as journal:
        return stems, journal


def not_a_number(stems: Array) -> None:
    stems[:, :, 30:40] = np.nan


def deafening(stems: Array) -> None:
    stems[:, 0, 50] = 1e6


def dead(stems: Array) -> None:
    stems[...] = 0


def twice_as_much(stems: Array) -> None:
    stems *= 2


def contrary(stems: Array) -> None:
    stems *= -1.5


def faulty(spoil: Spoil, times: int = 0, window: int = 2) -> FaultySeparator:
    """Spoils one window so many times."""
    stems = ("vocals",) if spoil is not twice_as_much else ("drums", "bass", "other", "vocals")
    gains = (0.9,) if spoil is not twice_as_much else (0.1, 0.2, 0.3, 0.4)
    return FaultySeparator(gains, stems, sample_rate=500, spoil=spoil, times={window: times})


FAULTS = [
    (not_a_number, "not_finite"),
    (deafening, "too_loud"),
    (dead, "dead"),
    (twice_as_much, "sum"),
    (contrary, "conflict"),
]


@pytest.mark.usefixtures("in_turn")
@pytest.mark.parametrize(("spoil", "kind"), FAULTS)
def test_a_window_that_is_wrong_once_is_separated_again_and_leaves_no_doubt(
    tmp_path: Path, spoil: Spoil, kind: Kind
) -> None:
    mix = noise(5 * WINDOW)
    separator = faulty(spoil, 1)
    stems, journal = killed_and_resumed(tmp_path / "flaky", mix, separator)
    sound, _ = killed_and_resumed(tmp_path / "sound", mix, faulty(spoil))
    np.testing.assert_array_equal(stems, sound)
    assert separator.windows == len(plan_for(separator, mix.shape[1])) + 1
    assert journal.doubts == ()
    assert {(doubt.window, doubt.kind) for doubt in journal.healed} == {(2, kind)}


@pytest.mark.usefixtures("in_turn")
@pytest.mark.parametrize(("spoil", "kind"), FAULTS)
def test_a_window_that_stays_wrong_is_recorded_and_the_film_goes_on(tmp_path: Path, spoil: Spoil, kind: Kind) -> None:
    mix = noise(5 * WINDOW)
    separator = faulty(spoil, 2)
    stems, journal = killed_and_resumed(tmp_path, mix, separator)
    assert stems.shape[-1] == mix.shape[1]
    again = 1 if kind != "conflict" else 2  # which of two that contradict each other is wrong cannot be told
    assert separator.windows == len(plan_for(separator, mix.shape[1])) + again
    assert kind in [doubt.kind for doubt in journal.doubts if doubt.window == 2]
    assert journal.healed == ()


def test_a_window_where_nothing_is_wrong_is_separated_once(tmp_path: Path) -> None:
    separator = FakeSeparator()
    _, journal = killed_and_resumed(tmp_path, noise(5 * WINDOW), separator)
    assert separator.windows == 7
    assert (journal.doubts, journal.healed) == ((), ())


@pytest.mark.usefixtures("in_turn")
@pytest.mark.parametrize("spoil", [not_a_number, deafening])
def test_what_cannot_be_used_is_silent_in_the_stem_and_nothing_else_is(
    tmp_path: Path,
    spoil: Spoil,
) -> None:
    mix = noise(5 * WINDOW) + np.float32(0.05)  # silence is not what the model calls 0
    stems, journal = killed_and_resumed(tmp_path / "faulty", mix, faulty(spoil, 2))
    sound, _ = killed_and_resumed(tmp_path / "sound", mix, faulty(spoil))
    (found,) = journal.doubts
    first, stop = (round(seconds * 500) for seconds in (found.start, found.end))
    assert 150 + 30 <= first < stop <= 150 + 51
    spoilt = stems[0, 0] != sound[0, 0]
    assert spoilt[first:stop].all()
    assert not spoilt[:first].any()
    assert not spoilt[stop:].any()
    np.testing.assert_allclose(stems[0, 0, first:stop], 0, atol=1e-7)


@pytest.mark.usefixtures("in_turn")
def test_what_cannot_be_used_where_two_windows_meet_leaves_the_other_ones_part(tmp_path: Path) -> None:
    def end_of_it(stems: Array) -> None:
        stems[..., 75:] = np.nan

    mix = noise(5 * WINDOW)
    stems, _ = killed_and_resumed(tmp_path / "faulty", mix, faulty(end_of_it, 2))
    sound, _ = killed_and_resumed(tmp_path / "sound", mix, faulty(end_of_it))
    overlap = slice(3 * 75, 3 * 75 + 25)
    assert np.isfinite(stems).all()
    ratio = stems[0, 0, overlap] / sound[0, 0, overlap]
    assert np.all(np.diff(ratio) > -1e-5)  # as the next window fades in


@pytest.mark.parametrize("stops", [(1,), (3,), (4,), (1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize("spoil", [not_a_number, deafening, dead, contrary])
def test_a_resumed_run_ends_with_the_same_doubts(
    tmp_path: Path,
    spoil: Spoil,
    stops: tuple[int, ...],
) -> None:
    """The separator is wrong about the film's third window each time, however often it was begun anew."""

    class WrongAboutOne(FakeSeparator):
        def separate(self, mix: Array) -> Array:
            stems = super().separate(mix) + self.windows * np.float32(0)
            if np.array_equal(mix[:, :9], third):
                spoil(stems)
            return stems

    mix = noise(5 * WINDOW + 3)
    third = Normalisation(float(mix.mean()), 0.1).apply(mix[:, 150:159])
    stems, undisturbed = killed_and_resumed(tmp_path / "undisturbed", mix, WrongAboutOne(sample_rate=500))
    again, resumed = killed_and_resumed(tmp_path / "resumed", mix, WrongAboutOne(sample_rate=500), *stops)
    np.testing.assert_array_equal(again, stems)
    assert any(doubt.window == 2 for doubt in undisturbed.doubts)
    assert resumed.doubts == undisturbed.doubts
    assert (tmp_path / "resumed" / "windows.jsonl").read_bytes() == (
        tmp_path / "undisturbed" / "windows.jsonl"
    ).read_bytes()


@pytest.mark.usefixtures("in_turn")
def test_a_change_of_mind_is_recorded_and_not_tried_again(tmp_path: Path) -> None:
    def vocals_are_gone(stems: Array) -> None:
        stems *= 1e-3

    separator = faulty(vocals_are_gone, 1)
    _, journal = killed_and_resumed(tmp_path, noise(5 * WINDOW), separator)
    assert separator.windows == 7
    assert [(doubt.window, doubt.kind) for doubt in journal.doubts] == [(2, "seam"), (3, "seam")]
    assert isinstance(journal.doubts[0], Doubt)


class Ramp(FakeSeparator):
    """Says something else of a frame in every window that has it, so that it matters which ones take part."""

    def separate(self, mix: Array) -> Array:
        return super().separate(mix) * np.linspace(0.1, 1.0, self.window_frames, dtype=np.float32)


@pytest.mark.parametrize("index", [0, 1, 2, 5, 6])
def test_one_window_again_is_what_it_was_in_the_whole(tmp_path: Path, index: int) -> None:
    mix, separator, level = noise(520), Ramp(), Normalisation(0.01, 0.1)
    plan = plan_for(separator, mix.shape[1])
    with Journal(tmp_path, Layout(plan, separator.stems, 2)) as journal:
        for _ in separate(reader(mix), separator, plan, level, journal):
            pass
        whole = {window.index: stems for window, stems in journal.finished()}
    separator.windows = 0
    again = separate_again(reader(mix), separator, plan, level, index)
    assert again.window == plan[index]
    assert np.array_equal(again.finished, whole[index])
    assert separator.windows == min(index + 1, 2)


@pytest.mark.parametrize(("quality", "overlap"), [("exact", 85_995), ("balanced", 34_398), ("fast", 10_320)])
def test_quality_is_how_much_windows_overlap(quality: Quality, overlap: int) -> None:
    plan = plan_for(FakeSeparator(window_frames=343_980), 1_000_000, OVERLAPS[quality])
    assert plan.overlap_frames == overlap


TREATED: tuple[Treatment, ...] = (
    *("separated", "separated", "silent", "silent", "silent", "separated", "separated", "separated"),
    *("passed", "passed", "passed", "separated", "silent", "passed", "separated"),
)
FRAMES = 14 * 75 + 20  # as many windows, the last one short
LEVEL = Normalisation(0.01, 0.2)


def only_in(*wanted: Treatment) -> np.ndarray:
    """The frames all of whose windows are treated so."""
    plan = plan_for(FakeSeparator(), FRAMES)
    assert len(plan) == len(TREATED)
    others = np.zeros(FRAMES, bool)
    for window, treatment in zip(plan, TREATED, strict=True):
        others[window.start : window.stop] |= treatment not in wanted
    return ~others


def test_windows_that_need_no_model_are_silent_or_the_mix_and_never_seen_by_it(tmp_path: Path) -> None:
    mix, separator = noise(FRAMES), Scrambler((0.5,))
    (vocals,) = streamed(tmp_path, mix, separator, LEVEL, treated=TREATED)
    assert separator.windows == TREATED.count("separated")
    silent, passed = only_in("silent"), only_in("passed")
    assert min(silent.sum(), passed.sum()) >= 100
    # Normalising and back, weighting and back: four roundings of float32.
    np.testing.assert_allclose(vocals[:, silent], 0, atol=1e-7)
    np.testing.assert_allclose(vocals[:, passed], mix[:, passed], atol=4e-7)


@pytest.mark.parametrize("kind", [FakeSeparator, Scrambler])
def test_what_only_separated_windows_have_is_bit_for_bit_what_it_is_without_a_gate(
    tmp_path: Path, kind: type[FakeSeparator]
) -> None:
    mix = noise(FRAMES)
    gated = streamed(tmp_path / "gated", mix, kind((0.5,)), LEVEL, treated=TREATED)
    without = streamed(tmp_path / "without", mix, kind((0.5,)), LEVEL)
    same = only_in("separated")
    assert same.sum() > 250
    np.testing.assert_array_equal(gated[..., same], without[..., same])
    assert np.mean(gated[..., ~same] != without[..., ~same]) > 0.9


def test_all_windows_separated_is_the_same_as_no_gate(tmp_path: Path) -> None:
    mix, every = noise(FRAMES), ["separated"] * len(TREATED)
    gated = streamed(tmp_path / "gated", mix, Scrambler(), LEVEL, treated=every)  # type: ignore[arg-type]
    np.testing.assert_array_equal(gated, streamed(tmp_path / "without", mix, Scrambler(), LEVEL))


@pytest.mark.parametrize(
    ("seam", "before", "after"),
    [(2, 0.5, 0.0), (5, 0.0, 0.5), (8, 0.5, 1.0), (11, 1.0, 0.5), (12, 0.5, 0.0), (13, 0.0, 1.0)],
)
def test_where_treatments_meet_one_fades_into_the_other(tmp_path: Path, seam: int, before: float, after: float) -> None:
    """The separator takes half of the mix for vocals, so that the share tells how far the fade has come."""
    mix = np.full((2, FRAMES), 0.3, np.float32)
    (vocals,) = streamed(tmp_path, mix, FakeSeparator((0.5,)), Normalisation(0.0, 0.2), treated=TREATED)
    share = vocals[0, 75 * seam - 1 : 75 * seam + 26] / 0.3
    assert share[[0, -1]] == pytest.approx([before, after], abs=1e-5)
    steps = np.diff(share) * np.sign(after - before)
    assert (steps > -1e-6).all()
    assert steps.max() < 0.08 * abs(after - before)  # a click would be all of it at once


@pytest.mark.parametrize("stop_after", range(1, len(TREATED)))
def test_a_gated_run_resumed_anywhere_gives_the_same_bits(tmp_path: Path, stop_after: int) -> None:
    mix, first, second = noise(FRAMES), Scrambler(), Scrambler()
    undisturbed = streamed(tmp_path / "undisturbed", mix, Scrambler(), LEVEL, treated=TREATED)
    streamed(tmp_path / "resumed", mix, first, LEVEL, stop_after, TREATED)
    resumed = streamed(tmp_path / "resumed", mix, second, LEVEL, treated=TREATED)
    np.testing.assert_array_equal(resumed, undisturbed)
    before = TREATED[:stop_after].count("separated")
    assert before <= first.windows <= before + 1, "more than one was under way"
    assert second.windows == TREATED.count("separated") - before
    assert (tmp_path / "resumed" / "windows.jsonl").read_bytes() == (
        tmp_path / "undisturbed" / "windows.jsonl"
    ).read_bytes()


@pytest.mark.parametrize("index", range(len(TREATED)))
def test_one_window_again_is_what_it_was_in_a_gated_whole(tmp_path: Path, index: int) -> None:
    mix, separator = noise(FRAMES), Ramp()
    plan = plan_for(separator, FRAMES)
    with Journal(tmp_path, Layout(plan, separator.stems, 2)) as journal:
        for _ in separate(reader(mix), separator, plan, LEVEL, journal, TREATED):
            pass
        whole = {window.index: stems for window, stems in journal.finished()}
    separator.windows = 0
    again = separate_again(reader(mix), separator, plan, LEVEL, index, TREATED)
    np.testing.assert_array_equal(again.finished, whole[index])
    assert separator.windows == TREATED[max(0, index - 1) : index + 1].count("separated")


@pytest.mark.parametrize("gain", [1e-6, -1.0])
def test_gated_windows_raise_no_doubts_nor_does_the_one_after_for_their_sake(tmp_path: Path, gain: float) -> None:
    """Neither is the model dead where it was not asked, nor does it contradict the mix that was passed on."""
    mix, separator = noise(FRAMES), FakeSeparator((gain,), sample_rate=500)
    streamed(tmp_path, mix, separator, Normalisation(0.0, 0.1), treated=TREATED)
    assert separator.windows == TREATED.count("separated")
    with Journal(tmp_path, Layout(plan_for(separator, FRAMES), separator.stems, 2)) as journal:
        assert (journal.doubts, journal.healed) == ((), ())


def test_two_separated_windows_beside_gated_ones_are_still_compared(tmp_path: Path) -> None:
    separator = faulty(
        contrary, 2, window=3
    )  # of those that are separated: of the film the seventh, between two others
    streamed(tmp_path, noise(FRAMES), separator, Normalisation(0.0, 0.1), treated=TREATED)
    with Journal(tmp_path, Layout(plan_for(separator, FRAMES), separator.stems, 2)) as journal:
        assert "conflict" in [doubt.kind for doubt in journal.doubts if doubt.window == 6]
