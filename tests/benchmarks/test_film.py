"""A film that is made: always the same, and about two fifths of it spoken."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from benchmarks.film import (
    FADE,
    LEAD_SECONDS,
    PAUSE_SECONDS,
    SCENE_SECONDS,
    SPEECH_OVER_MUSIC_DB,
    SPOKEN,
    Corpus,
    Scene,
    plan,
    spoken_share,
    write_film,
)
from benchmarks.sounds import RATE, looped, rms

MUSIC = [60 * RATE, 45 * RATE]


def utterances(seed: int = 0) -> list[int]:
    """Lengths as readers have them."""
    chance = random.Random(seed)
    return [round(chance.uniform(2, 17) * RATE) for _ in range(40)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Tones for voices, and noise for music."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "speech" / "en").mkdir(parents=True)
    (folder / "music").mkdir()
    for number, seconds in enumerate((2.0, 3.5, 5.0)):
        tone = 0.3 * np.sin(np.arange(round(seconds * 16000)) * (number + 1) / 20)
        soundfile.write(folder / "speech" / "en" / f"{number}.flac", tone, 16000)
        (folder / "speech" / "en" / f"{number}.txt").write_text(f"said\nnumber {number}", encoding="utf-8")
    for number in range(2):
        noise = 0.1 * np.random.default_rng(number).standard_normal((20 * RATE, 2))
        soundfile.write(folder / "music" / f"{number}.ogg", noise, RATE)
    return Corpus.of(folder)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("minutes", "tolerance"), [(1, 0.1), (5, 0.03), (10, 0.02), (60, 0.01)])
def test_the_share_of_speech_is_as_wanted(minutes: float, tolerance: float, seed: int) -> None:
    scenes = plan(round(minutes * 60 * RATE), utterances(), MUSIC, seed)
    assert spoken_share(scenes) == pytest.approx(SPOKEN, abs=tolerance)


@pytest.mark.parametrize("seed", range(5))
def test_speech_is_spread_over_the_film(seed: int) -> None:
    scenes = plan(60 * 60 * RATE, utterances(), MUSIC, seed)
    for quarter in range(4):
        part = [scene for scene in scenes if quarter * 15 <= scene.start / RATE / 60 < (quarter + 1) * 15]
        assert spoken_share(part) == pytest.approx(SPOKEN, abs=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_scenes_follow_each_other_to_the_end(seed: int) -> None:
    total = 20 * 60 * RATE + 1
    scenes = plan(total, utterances(), MUSIC, seed)
    ends = [scene.start + scene.frames for scene in scenes]
    assert [scene.start for scene in scenes] == [0, *ends[:-1]]
    assert ends[-1] == total
    assert all(scene.frames <= (SCENE_SECONDS[1] + LEAD_SECONDS[1]) * RATE for scene in scenes)
    assert {scene.kind for scene in scenes} == {"dialogue", "music", "quiet"}
    assert all((scene.music is None) == (scene.kind == "quiet") for scene in scenes if scene.kind != "dialogue")


@pytest.mark.parametrize("seed", range(5))
def test_people_speak_one_after_the_other_with_pauses(seed: int) -> None:
    dialogues = [scene for scene in plan(20 * 60 * RATE, utterances(), MUSIC, seed) if scene.kind == "dialogue"]
    for scene in dialogues:
        assert scene.lines[0].start >= scene.start + FADE
        assert scene.lines[-1].start + scene.lines[-1].frames <= scene.start + scene.frames
        for line, following in pairwise(scene.lines):
            pause = (following.start - line.start - line.frames) / RATE
            assert PAUSE_SECONDS[0] - 0.001 <= pause <= PAUSE_SECONDS[1] + 0.001
    over_music = [scene for scene in dialogues if scene.music]
    assert 0 < len(over_music) < len(dialogues)
    assert all(SPEECH_OVER_MUSIC_DB[0] <= scene.over_music_db <= SPEECH_OVER_MUSIC_DB[1] for scene in over_music)


def test_a_film_shorter_than_any_utterance_has_no_words() -> None:
    assert all(not scene.lines for scene in plan(RATE, utterances(), MUSIC))


def test_the_same_seed_gives_the_same_film(corpus: Corpus, tmp_path: Path) -> None:
    names = ("film.wav", "film.txt", "film.tsv", "film.scenes.tsv")
    content = {}
    for folder, seed in (("one", 1), ("same", 1), ("other", 2)):
        (tmp_path / folder).mkdir()
        write_film(tmp_path / folder / "film.wav", corpus, 1, seed)
        content[folder] = [(tmp_path / folder / name).read_bytes() for name in names]
    assert content["one"] == content["same"]
    assert content["one"][0] != content["other"][0]


@pytest.fixture(scope="module")
def film(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Scene]]:
    path = tmp_path_factory.mktemp("film") / "film.wav"
    return path, write_film(path, corpus, 3)


def test_what_is_said_stands_beside_it(film: tuple[Path, list[Scene]]) -> None:
    path, scenes = film
    spoken = [line for scene in scenes for line in scene.lines]
    texts = path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    assert texts == [f"said number {line.utterance}" for line in spoken]
    rows = [row.split("\t") for row in path.with_suffix(".tsv").read_text(encoding="utf-8").splitlines()]
    assert [row[2] for row in rows] == texts
    assert [float(row[0]) for row in rows] == pytest.approx([line.start / RATE for line in spoken], abs=0.001)
    happening = path.with_suffix(".scenes.tsv").read_text(encoding="utf-8").splitlines()
    assert [row.split("\t")[2].split()[0] for row in happening] == [scene.kind for scene in scenes]


def test_the_sound_is_that_of_the_plan(film: tuple[Path, list[Scene]]) -> None:
    path, scenes = film
    sound, rate = soundfile.read(path, dtype="float32")
    assert (rate, len(sound)) == (RATE, 3 * 60 * RATE)
    assert np.abs(sound).max() < 1
    levels: dict[str, list[float]] = {"dialogue": [], "music": [], "quiet": []}
    for scene in scenes:
        inside = sound[scene.start + FADE : scene.start + scene.frames]
        levels[scene.kind].append(20 * np.log10(rms(inside)))
    assert all(-62 < level < -58 for level in levels["quiet"])
    assert all(-24 < level < -20 for level in levels["music"])
    assert all(-32 < level < -18 for level in levels["dialogue"])


def test_scenes_fade_into_each_other(film: tuple[Path, list[Scene]]) -> None:
    path, scenes = film
    sound, _ = soundfile.read(path, dtype="float32")
    quiet = [scene for before, scene in pairwise(scenes) if scene.kind == "quiet" and before.music]
    assert quiet
    for scene in quiet:
        fading, over = sound[scene.start :][: FADE // 2], sound[scene.start + FADE :][: FADE // 2]
        assert rms(fading) > 10 * rms(over)


def test_a_loop_joins_without_a_click() -> None:
    tone = np.tile(np.sin(np.arange(RATE, dtype=np.float32) / 30), (2, 1))
    twice = np.tile(looped(tone, RATE // 4), (1, 2))
    assert twice.shape[1] == 2 * (RATE - RATE // 4)
    assert np.abs(np.diff(twice)).max() < 0.1
