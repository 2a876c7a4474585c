"""What is heard before its time: only what will stay, and kept under all that it depends on."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import Array, noise
from stemscribe.speech.activity import HOP, Activity
from stemscribe.speech.ahead import HEARD, Hearings, found_in, is_level_known, key_of, settled
from stemscribe.speech.recognition import Heard, Hearing
from stemscribe.speech.regions import RegionRules, find_regions
from stemscribe.speech.sound import Sound
from stemscribe.transcript import Region, Segment, Word

SPEECH = (Region(9.0, 10.5), Region(12.0, 15.0), Region(18.0, 19.0))
REGION = Region(10.0, 16.0)
SOUND = Sound(10.0, noise(1600)[0], noise(1600, seed=1)[0], noise(1600, seed=2)[0])
WORD = Word(1.1, 1.7, " so", 0.1 + 0.2)
HEARD_THERE = Heard(
    3,
    (Segment(1.1, 1.7, "so", "en", (WORD,), -0.3, 0.01, 1.1, "mix", "why"),),
    (),
    (Hearing(3, 10.0, 16.0, "mix", "why", "so", 1, 1, None, -0.3, 0.01, 1.1),),
)


def activity(speech: Array) -> Activity:
    level = np.where(speech > 0.4, -20, -90).astype(np.float32)
    return Activity(speech, speech, np.full_like(level, -15), level)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_settled_stays_whatever_follows(seed: int) -> None:
    """Speech comes and goes at random, in turns of up to a minute; the detector alone tells it."""
    chance = np.random.default_rng(seed)
    turns = np.repeat(chance.random(80) * (chance.random(80) < 0.6), chance.integers(3, 60 if seed % 2 else 700, 80))
    speech = np.where(turns < 0.36, 0.0, turns).astype(np.float32)
    speech[(speech > 0) & (speech < 0.5)] = 0.9
    whole = set(find_regions(activity(speech)))
    seen = 0
    for hops in range(50, len(speech), 97):
        ready = settled(find_regions(activity(speech[:hops])), hops * HOP)
        assert set(ready) <= whole
        seen = max(seen, len(ready))
    assert seen >= len(whole) - 3


@pytest.mark.parametrize("seed", range(4))
def test_a_piece_of_somebody_who_does_not_stop_stays_where_it_is_cut(seed: int) -> None:
    level = np.random.default_rng(seed).uniform(-25, -15, round(130 / HOP)).astype(np.float32)
    speech = np.full_like(level, 0.9)
    speaking = Activity(speech, speech, np.full_like(level, -15), level)
    whole = set(find_regions(speaking))
    assert len(whole) >= 5
    seen = 0
    for hops in range(50, len(speech), 29):
        ready = settled(find_regions(speaking.between(0, hops)), hops * HOP)
        assert set(ready) <= whole
        seen = max(seen, len(ready))
    assert seen >= len(whole) - 3


def test_nothing_is_settled_where_there_is_nothing() -> None:
    assert settled((), 100.0) == []


def test_a_region_is_heard_as_soon_as_no_voice_can_join_it() -> None:
    rules = RegionRules()
    region = Region(0.0, 10.0)
    room = rules.pad + rules.join + rules.bridge + rules.shortest + HOP
    assert settled((region,), 10.0 + room) == [region]
    assert settled((region,), 10.0 + room - 0.01) == []
    assert not is_level_known(region, 10.0 + room)
    assert is_level_known(region, 10.0 + 1.5 * rules.around)


def key(**changes: object) -> str:
    asked: dict[str, object] = {"region": REGION, "sound": SOUND, "speech": SPEECH, "film": "en"}
    return key_of(**(asked | changes))  # type: ignore[arg-type]


def nudged(samples: Array) -> Array:
    changed = samples.copy()
    changed[-1] = np.nextafter(changed[-1], np.float32(1))
    return changed


@pytest.mark.parametrize(
    "changes",
    [
        {"region": Region(10.0, 16.001)},
        {"region": Region(10.001, 16.0)},
        {"film": "de"},
        {"speech": (Region(9.0, 10.5), Region(12.0, 15.001), Region(18.0, 19.0))},
        {"speech": SPEECH[1:]},
        {"speech": ()},
        {"sound": replace(SOUND, mix=nudged(SOUND.mix))},
        {"sound": replace(SOUND, vocals=nudged(SOUND.vocals))},
        {"sound": replace(SOUND, centre=None)},
        {"sound": replace(SOUND, centre=nudged(SOUND.mix))},
        {"sound": replace(SOUND, mix=SOUND.vocals, vocals=SOUND.mix)},
    ],
)
def test_whatever_a_hearing_depends_on_is_in_its_key(changes: dict[str, object]) -> None:
    assert key(**changes) != key()


def test_speech_elsewhere_is_not() -> None:
    assert key(speech=(Region(0.0, 5.0), *SPEECH, Region(30.0, 31.0))) == key()


def test_what_was_kept_is_found_as_that_of_another_number_and_after_opening_it_again(tmp_path: Path) -> None:
    assert found_in(None) is None
    assert found_in(tmp_path) is None
    assert not list(tmp_path.iterdir()), "to ask makes no file"
    kept = Hearings(tmp_path)
    kept.add("a", HEARD_THERE)
    kept.add("b", Heard(4, ()))
    kept.add("b", Heard(5, (), (), HEARD_THERE.hearings))
    kept.close()
    again = found_in(tmp_path)
    assert again is not None
    assert again.find("a", 3) == HEARD_THERE
    moved = again.find("a", 8)
    assert moved == replace(HEARD_THERE, region=8, hearings=(replace(HEARD_THERE.hearings[0], region=8),))
    assert again.find("b", 1) == replace(moved, region=1, segments=(), hearings=(replace(moved.hearings[0], region=1),))
    assert again.find("c", 1) is None
    again.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-5],
        lambda content: content[:20],
        lambda content: b"",
        lambda content: content.replace(b'"end":1.7', b'"end":9e9'),
        lambda content: content.replace(b'"text":"so"', b'"text":7'),
        lambda content: content + b"more",
        lambda content: b"\xff" * 100,
    ],
)
def test_what_cannot_be_read_of_it_was_not_heard(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    kept = Hearings(tmp_path)
    kept.add("a", HEARD_THERE)
    kept.close()
    path = tmp_path / HEARD
    changed = damage(path.read_bytes())
    lines = changed.split(b"\n")
    if len(lines) == 3 and not lines[2]:  # whole lines, rightly summed, of something else
        changed = b"".join(b"%08x %s\n" % (zlib.crc32(line[9:]), line[9:]) for line in lines[:-1])
    path.write_bytes(changed)
    again = found_in(tmp_path)
    assert again is not None
    assert again.find("a", 3) == (HEARD_THERE if changed.endswith(b"more") else None)
    again.close()
