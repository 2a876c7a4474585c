"""Seconds and frames: the only place where one is rounded to the other.

A *frame* is one sample of every channel. Within audio, positions are frames (integers, exact); on the film's clock
they are seconds (floats). Rounding is to the nearest frame, halves up, so that neighbouring spans which share a
boundary in seconds share it in frames too.
"""

from __future__ import annotations

import math

Seconds = float
LONGEST: Seconds = 1e7  # 115 days: no film is longer, and no time that anybody gives


def to_frames(seconds: Seconds, sample_rate: int) -> int:
    """The frame nearest to a time.

    >>> to_frames(7.8, 44100)
    343980
    """
    return math.floor(seconds * sample_rate + 0.5)


def to_seconds(frames: int, sample_rate: int) -> Seconds:
    """The time at which a frame begins.

    >>> to_seconds(343980, 44100)
    7.8
    """
    return frames / sample_rate


def clock(seconds: Seconds) -> str:
    """A time as people write it: hours (where there are any), minutes, seconds and milliseconds.

    >>> clock(3725.5), clock(61.25)
    ('1:02:05.500', '1:01.250')
    """
    milliseconds = math.floor(abs(seconds) * 1000 + 0.5)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if seconds < 0 and milliseconds + minutes + hours else ""
    tail = f"{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
    return f"{sign}{hours}:{minutes:02d}:{tail}" if hours else f"{sign}{minutes}:{tail}"


def parse_clock(text: str) -> Seconds:
    """The seconds that a user meant by `90`, `90.5`, `1:30` or `0:01:30.5`.

    Raises:
        ValueError: the text is not a time, is negative, or is later than any film lasts.

    >>> parse_clock("1:01:30.5")
    3690.5
    """
    parts = text.strip().split(":")
    if not 1 <= len(parts) <= 3 or not all(part and set(part) <= set("0123456789.") for part in parts):
        raise ValueError(f"not a time: {text!r}")
    *whole, last = parts
    seconds = float(last)
    for scale, part in zip((60, 3600), reversed(whole), strict=False):
        seconds += scale * int(part)
    if seconds > LONGEST:
        raise ValueError(f"no film lasts so long: {text[:40]!r}")
    return seconds
