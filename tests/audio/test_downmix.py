from fractions import Fraction

import av
import numpy as np
import pytest

from fakes import Array, noise
from stemscribe.audio.downmix import Downmix, has_centre

RATE = 48000


def frame(sound: Array, layout: str, form: str = "flt") -> av.AudioFrame:
    """Interleaved sound of a layout: PyAV 18 cannot make frames of eight planes."""
    packed = np.ascontiguousarray(sound.T).reshape(1, -1)
    if form == "s16":
        packed = np.round(packed * 32768).astype(np.int16)
    made = av.AudioFrame.from_ndarray(packed, format=form, layout=layout)
    made.sample_rate, made.time_base = RATE, Fraction(1, RATE)
    return made


@pytest.mark.parametrize(
    ("layout", "channels"),
    [("3.0", 3), ("4.0", 4), ("5.0", 5), ("5.1", 6), ("5.1(side)", 6), ("6.1", 7), ("7.1", 8), ("6 channels", 6)],
)
@pytest.mark.parametrize("form", ["flt", "s16"])
def test_the_centre_comes_out_as_it_is_beside_the_same_downmix(layout: str, channels: int, form: str) -> None:
    assert has_centre(layout)
    sound = np.round(noise(1000, channels=channels) * 32768) / np.float32(32768)
    mixed = Downmix(centre=True).push(frame(sound, layout, form))
    assert mixed.shape == (3, 1000)
    np.testing.assert_array_equal(mixed[2], sound[2])
    np.testing.assert_array_equal(mixed[:2], Downmix().push(frame(sound, layout, form)))


@pytest.mark.parametrize("layout", ["mono", "stereo", "2.1", "quad", "3.0(back)", "3 channels", "9 channels", "what?"])
def test_what_has_no_centre_between_two_sides_has_none(layout: str) -> None:
    assert not has_centre(layout)


def test_a_frame_without_a_centre_has_a_silent_one() -> None:
    downmix = Downmix(centre=True)
    for layout, channels in (("5.1", 6), ("stereo", 2), ("mono", 1), ("5.1", 6)):
        mixed = downmix.push(frame(noise(100, channels=channels), layout))
        assert mixed.shape == (3, 100)
        assert mixed[2].any() == (layout == "5.1")


def test_damage_in_the_centre_is_counted_once_for_each_side_and_is_silent() -> None:
    sound = noise(100, channels=6)
    sound[2, 50] = np.nan
    downmix = Downmix(centre=True)
    mixed = downmix.push(frame(sound, "5.1"))
    assert downmix.damaged_samples == 2
    assert not mixed[:, 50].any()
    assert mixed[:, 51].all()
