"""The tokens of one cue in lines: as few as possible, broken where it reads best, balanced, the lower longer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

from stemscribe.subtitles.breaks import break_cost
from stemscribe.subtitles.rules import CueRules
from stemscribe.subtitles.tokens import Token, joined

IMBALANCE = 4.0  # what a line that is empty beside a full one would cost; a plain break costs 6
TOP_HEAVY = 1.0


def fitting(tokens: list[Token], start: int, rules: CueRules) -> Iterator[int]:
    """The stops at which `tokens[start:stop]` still fits into one cue, rising from `start + 1`.

    Lines are filled greedily, which needs the fewest lines of all ways to break.
    """
    lines, used = 0, rules.line_length + 1
    for stop in range(start + 1, len(tokens) + 1):
        token = tokens[stop - 1]
        used += token.space + token.cells
        if used > rules.line_length:
            lines, used = lines + 1, token.cells
        if lines > rules.lines:
            return
        yield stop


def line_up(tokens: list[Token], rules: CueRules) -> tuple[str, ...]:
    """The lines of a cue whose tokens are known to fit."""
    for count in range(1, rules.lines + 1):
        ways = [way for way in _ways(tokens, count) if all(width(line) <= rules.line_length for line in way)]
        if ways:
            return tuple(joined(line) for line in min(ways, key=lambda way: _cost(way, rules)))
    raise AssertionError("tokens that do not fit into one cue were put into one")


def width(line: list[Token]) -> int:
    """How many cells a line takes."""
    return sum(token.space + token.cells for token in line) - line[0].space


def _ways(tokens: list[Token], count: int) -> Iterator[list[list[Token]]]:
    """Every way to put the tokens into `count` lines that are not empty."""
    for breaks in combinations(range(1, len(tokens)), count - 1):
        yield [tokens[start:stop] for start, stop in pairwise((0, *breaks, len(tokens)))]


def _cost(lines: list[list[Token]], rules: CueRules) -> float:
    """The price of the breaks between the lines, of their imbalance, and of a line longer than the one below it."""
    total = 0.0
    for upper, lower in pairwise(lines):
        difference = width(upper) - width(lower)
        total += break_cost(upper[-1], lower[0]) + IMBALANCE * abs(difference) / rules.line_length
        total += TOP_HEAVY * (difference > 0)
    return total
