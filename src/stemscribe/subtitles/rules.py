"""What makes a cue readable, in numbers.

The line length, the number of lines and the longest time on screen follow the Netflix timed text style guide (42
characters, 2 lines, 7 s, 2 frames between cues; 20 characters a second is its speed for adults' programmes in
English); the shortest time is a little below its 5/6 s, because conversation in a transcript, unlike an edited
subtitle, cannot be condensed. The BBC's subtitle guidelines agree on two lines and on closing short gaps.
docs/reference/transcript.md gives the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass

from stemscribe.errors import UsageError
from stemscribe.timebase import Seconds, to_frames

MILLISECOND_RATE = 1000
WIDEST_CHARACTER = 2
MOST_LINES = 3


def milliseconds(seconds: Seconds) -> int:
    """The nearest whole millisecond, the unit in which cues are timed; subtitles have no time before zero.

    >>> milliseconds(1.0006), milliseconds(-3.0)
    (1001, 0)
    """
    return max(0, to_frames(seconds, MILLISECOND_RATE))


@dataclass(frozen=True)
class CueRules:
    """What a cue may be.

    Args:
        line_length: the most cells in a line; a wide (Chinese, Japanese, Korean) character takes two.
        lines: the most lines in a cue, 1 to 3.
        shortest: the least time on screen. It is kept wherever the transcript has that much time for each of its cues.
        longest: the most time on screen.
        gap: the empty time between two cues that follow each other closely.
        bridge: a pause shorter than this is closed down to `gap`, because a flicker disturbs more than a late end.
        reading_speed: characters a second; a cue stays for as long as this asks, where the silence after it allows.
        pause: a silence this long always ends a cue.

    Raises:
        UsageError: the numbers contradict each other.
    """

    line_length: int = 42
    lines: int = 2
    shortest: Seconds = 0.7
    longest: Seconds = 7.0
    gap: Seconds = 0.08
    bridge: Seconds = 0.5
    reading_speed: float = 20.0
    pause: Seconds = 2.0

    def __post_init__(self) -> None:
        if self.line_length < WIDEST_CHARACTER or not 1 <= self.lines <= MOST_LINES:
            raise UsageError(
                f"A cue of {self.lines} lines of {self.line_length} characters cannot be written.",
                hint=f"Use 1 to {MOST_LINES} lines of at least {WIDEST_CHARACTER} characters.",
            )
        if (
            not 0 < self.shortest <= self.longest
            or self.reading_speed <= 0
            or min(self.gap, self.bridge, self.pause) < 0
        ):
            raise UsageError(
                "The times for cues contradict each other.",
                hint="0 < shortest <= longest, reading_speed > 0, and gap, bridge and pause are not negative.",
            )
