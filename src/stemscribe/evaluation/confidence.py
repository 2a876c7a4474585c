"""How far a figure can be trusted: what it would have been with other recordings of the same kind.

The bootstrap draws as many recordings as there are, with repetition, a thousand times, and looks how the figure of the
whole spreads (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_ROUNDS = 2000
_SEED = 20_040_517  # any number, as long as the same evaluation gives the same interval
_OUTSIDE = (2.5, 97.5)  # per cent; the interval holds 95
Counts = Sequence[tuple[int, int]]  # errors, and what they are counted against, by recording


@dataclass(frozen=True)
class Interval:
    """Where a figure lies in 95 of 100 draws of the recordings."""

    low: float
    high: float


def rate_interval(counts: Counts) -> Interval | None:
    """Where the rate of all errors together lies; `None` with fewer than two recordings."""
    return _interval(_rates(counts, _draws(len(counts)))) if len(counts) > 1 else None


def difference_interval(counts: Counts, others: Counts) -> Interval | None:
    """Where the difference of two rates lies, with the same recordings drawn for both.

    An interval that holds zero says that the recordings do not tell which one is better.

    Args:
        counts: by recording.
        others: of the rate that is subtracted, for the same recordings in the same order.
    """
    if len(counts) < 2:
        return None
    draws = _draws(len(counts))
    return _interval(_rates(counts, draws) - _rates(others, draws))


def _draws(recordings: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(_SEED).integers(recordings, size=(_ROUNDS, recordings))


def _rates(counts: Counts, draws: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    errors, whole = (np.array(column, np.float64) for column in zip(*counts, strict=True))
    rates: npt.NDArray[np.float64] = errors[draws].sum(axis=1) / whole[draws].sum(axis=1)
    return rates


def _interval(values: npt.NDArray[np.float64]) -> Interval:
    low, high = np.percentile(values, _OUTSIDE)
    return Interval(float(low), float(high))
