"""What fuzzing came to, in figures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """What fuzzing one target came to."""

    files: int = 0
    read: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    largest: int = 0
    crashes: dict[str, int] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.files += other.files
        self.read += other.read
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)
        self.crashes = dict(Counter(self.crashes) + Counter(other.crashes))
