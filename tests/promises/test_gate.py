"""A film that ends in music, with the real models: what nobody speaks in is left out, and nothing else is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from fakes import write_film
from media.make_test_clip import SAMPLE_RATE, music, root_mean_square
from stemscribe.audio.decode import TrackDecoder

from .conftest import Workplace

pytestmark = [pytest.mark.models, pytest.mark.slow]

SPOKEN = (4.0, 15.0)  # in the clip, by `make_test_clip.py`
LEVEL = 0.07  # of the music, as it is in the clip


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    """The clip, which is Kennedy over music, and then its music once more, without him."""
    spoken = np.concatenate(list(TrackDecoder(clip, 0, SAMPLE_RATE).blocks()), axis=1)
    band = music()
    sound = np.concatenate([spoken, band * (LEVEL / root_mean_square(band))], axis=1).astype(np.float32)
    return write_film(tmp_path_factory.mktemp("film") / "film.wav", [(sound, "eng")], rate=SAMPLE_RATE)


@pytest.fixture(scope="module")
def jobs(workplace: Workplace, model: Callable[[str], Path], film: Path) -> dict[str, Path]:
    """The folders of two jobs on it, with the gate and without."""
    model("spleeter")
    made = {}
    for gate in ("auto", "off"):
        asked = ("--gate", gate, "--stem-subtype", "float", "--device", "cpu", "--new")
        done = workplace.run("run", "--media", film, "-s", "en", *asked)
        made[gate] = workplace.root / Path(done.stdout.splitlines()[-1]).parents[1]
    return made


@pytest.fixture(scope="module")
def record(jobs: dict[str, Path]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((jobs["auto"] / "99_source_separation" / "separation.json").read_bytes())
    return found


def stems(job: Path) -> dict[str, np.ndarray]:
    files = (job / "99_source_separation").glob("*.wav")
    return {path.stem: soundfile.read(path, dtype="float32", always_2d=True)[0] for path in files}


def frames_of(record: dict[str, Any], *wanted: str) -> np.ndarray:
    """The frames all of whose windows were treated so; times are recorded to the millisecond."""
    mask, rate = np.ones(record["frames"], bool), record["sample_rate"]
    for run in record["gate"]:
        if run["treatment"] not in wanted:
            mask[max(0, round((run["start"] - 0.001) * rate)) : round((run["end"] + 0.001) * rate)] = False
    return mask


def test_windows_of_music_alone_are_left_out_and_those_with_a_voice_are_not(record: dict[str, Any]) -> None:
    assert [run["treatment"] for run in record["gate"]][-1] == "silent"
    assert sum(run["windows"] for run in record["gate"]) == record["windows"] == 6
    silent = [run for run in record["gate"] if run["treatment"] == "silent"]
    assert sum(run["windows"] for run in silent) >= 3
    assert all(run["end"] < SPOKEN[0] or run["start"] > SPOKEN[1] for run in silent)


def test_where_nobody_speaks_the_vocals_are_silent_and_all_is_accompaniment(
    jobs: dict[str, Path], record: dict[str, Any]
) -> None:
    made, silent = stems(jobs["auto"]), frames_of(record, "silent")
    assert silent.sum() > 15 * record["sample_rate"]
    assert np.abs(made["vocals"][silent]).max() < 2**-20  # the mean of the film comes and goes: a rounding of float32
    mix = soundfile.read(jobs["auto"] / "01_demux" / "mix.flac", dtype="float32")[0]
    np.testing.assert_allclose(made["accompaniment"][silent], mix[silent], atol=2**-20)


def test_where_somebody_speaks_the_vocals_are_those_without_a_gate_bit_for_bit(
    jobs: dict[str, Path], record: dict[str, Any]
) -> None:
    with_gate, without = (stems(jobs[gate])["vocals"] for gate in ("auto", "off"))
    same = frames_of(record, "separated")
    spoken = slice(*(round(second * record["sample_rate"]) for second in SPOKEN))
    assert same[spoken].all()
    np.testing.assert_array_equal(with_gate[same], without[same])
    assert np.abs(without[frames_of(record, "silent")]).max() > 0, "the model would have left something there"


def test_the_transcript_is_the_same(jobs: dict[str, Path]) -> None:
    said = [(job / "04_export" / "transcript.txt").read_text(encoding="utf-8") for job in jobs.values()]
    assert said[0] == said[1]
    assert "ask what you can do for your country" in " ".join(said[0].split())
    words = [
        [word for segment in json.loads(text)["segments"] for word in segment["words"]]
        for text in ((job / "04_export" / "transcript.json").read_text(encoding="utf-8") for job in jobs.values())
    ]
    assert words[0] == words[1]


def test_a_window_of_it_comes_out_the_same_again(workplace: Workplace, jobs: dict[str, Path]) -> None:
    done = workplace.run("verify", jobs["auto"].name, "--deep")
    assert "window" in done.stdout
