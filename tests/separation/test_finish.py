from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import Array, noise
from stemscribe.separation.finish import StemFiles, clip_gains, write_stems
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.windows import WindowPlan

FRAMES = 470
PLAN = WindowPlan(FRAMES, 100, 25)


def finished(folder: Path, stems: tuple[str, ...], sound: Array, mix: Array, **choices: str) -> dict[str, Array]:
    """Commit `sound` `[stems, 2, frames]`, write the files, and read them back."""
    layout = Layout(PLAN, stems, 2)
    names = ("vocals", "accompaniment") if stems == ("vocals",) else stems
    paths = {name: folder / f"{name}.wav" for name in names}
    with Journal(folder / "journal", layout) as journal:
        for window in PLAN:
            cut = PLAN.finished(window)
            journal.commit(window, sound[..., window.start : cut], sound[..., cut : window.stop])
        write_stems(journal, layout, lambda a, b: mix[:, a:b], StemFiles(paths, 44100, "wav", **choices))  # type: ignore[arg-type]
    return {name: soundfile.read(path, dtype="float32", always_2d=True)[0].T for name, path in paths.items()}


def test_vocals_and_accompaniment_add_up_to_the_mix(tmp_path: Path) -> None:
    mix, vocals = noise(FRAMES, seed=1), noise(FRAMES, seed=2)
    stems = finished(tmp_path, ("vocals",), vocals[None], mix)
    error = stems["vocals"] + stems["accompaniment"] - mix
    assert np.abs(error).max() < 2.1 / 2**15  # a step of 16 bit for each of the two


def test_together_they_are_brought_down_together(tmp_path: Path) -> None:
    mix, vocals = noise(FRAMES, level=0.5), noise(FRAMES, seed=2)
    stems = finished(tmp_path, ("vocals",), vocals[None], mix, subtype="float")
    gain = 1 / (1.01 * np.abs(mix - vocals).max())
    np.testing.assert_allclose(stems["vocals"] + stems["accompaniment"], mix * np.float32(gain), atol=1e-6)


def test_four_stems_follow_demucs_clip_rule_each_for_itself(tmp_path: Path) -> None:
    sound = np.stack([noise(FRAMES, seed=seed, level=level) for seed, level in enumerate((0.1, 0.6, 0.01, 0.2))])
    stems = finished(tmp_path, ("drums", "bass", "other", "vocals"), sound, sound.sum(0), subtype="float")
    for index, name in enumerate(("drums", "bass", "other", "vocals")):
        expected = sound[index] / np.float32(max(1.01 * np.abs(sound[index]).max(), 1))
        np.testing.assert_allclose(stems[name], expected, atol=1e-7)


@pytest.mark.parametrize(("mode", "largest"), [("rescale", 1 / 1.01), ("clamp", 0.99), ("none", 2.0)])
def test_what_becomes_of_peaks(tmp_path: Path, mode: str, largest: float) -> None:
    mix = np.zeros((2, FRAMES), np.float32)
    mix[0, 200] = 2.0
    stems = finished(tmp_path, ("vocals",), np.zeros((1, 2, FRAMES), np.float32), mix, subtype="float", clip_mode=mode)
    assert np.abs(stems["accompaniment"]).max() == pytest.approx(largest, abs=1e-6)


def test_quiet_stems_are_left_alone() -> None:
    assert clip_gains({"vocals": 0.9, "accompaniment": 0.98}) == {"vocals": 1.0, "accompaniment": 1.0}
