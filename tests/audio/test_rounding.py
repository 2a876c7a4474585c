from pathlib import Path

import numpy as np
import pytest

from fakes import Array
from stemscribe.audio import rounding as room
from stemscribe.audio.rounding import rounding, step
from stemscribe.audio.source import AudioSource
from stemscribe.audio.writer import StemWriter
from stemscribe.choices import StemFormat, StemSubtype

FORMATS: list[tuple[StemFormat, StemSubtype]] = [
    ("wav", "pcm16"),
    ("wav", "pcm24"),
    ("wav", "float"),
    ("flac", "pcm16"),
    ("flac", "pcm24"),
]


def sound() -> Array:
    """Unlike the sample by which the rule is found."""
    chance = np.random.default_rng(7)
    sizes = 2.0 ** -chance.integers(0, 26, (2, 50_000))
    return (chance.uniform(-1.5, 1.5, (2, 50_000)) * sizes).astype(np.float32)


def read_back(path: Path, block: Array, form: StemFormat, subtype: StemSubtype) -> Array:
    with StemWriter(path, 44100, 2, block.shape[1], form=form, subtype=subtype) as writer:
        writer.write(block)
    with AudioSource(path) as source:
        return source.read(0, source.frames)


@pytest.mark.parametrize(("form", "subtype"), FORMATS)
def test_what_a_file_holds_is_known_to_the_last_bit(tmp_path: Path, form: StemFormat, subtype: StemSubtype) -> None:
    block = sound()
    np.testing.assert_array_equal(
        rounding(form, subtype)(block), read_back(tmp_path / "stem", block, form, subtype), strict=True
    )


@pytest.mark.parametrize(("form", "subtype"), FORMATS)
def test_the_library_of_the_lock_rounds_by_a_known_rule(
    monkeypatch: pytest.MonkeyPatch, form: StemFormat, subtype: StemSubtype
) -> None:
    rule = rounding.__wrapped__(form, subtype)
    monkeypatch.delattr(room, "_through_the_library")
    rule(sound())


@pytest.mark.parametrize(("form", "subtype"), FORMATS)
def test_a_library_that_rounds_in_an_unknown_way_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: StemFormat, subtype: StemSubtype
) -> None:
    monkeypatch.setattr(room, "_rules", lambda subtype: (lambda block: block + np.float32(1),))
    block = sound()
    unknown = rounding.__wrapped__(form, subtype)
    np.testing.assert_array_equal(unknown(block), read_back(tmp_path / "stem", block, form, subtype))


@pytest.mark.parametrize(("form", "subtype"), FORMATS[:2] + FORMATS[3:])
def test_rounding_stays_within_a_step(form: StemFormat, subtype: StemSubtype) -> None:
    block = np.clip(sound(), -1, 1 - step(subtype))
    assert np.abs(rounding(form, subtype)(block).astype(np.float64) - block).max() <= step(subtype)
