"""What a run of the harness has shown, as it is kept in `docs/explanation/reliability.json`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """How often a kind of fault met a stage, and what came of it.

    Attributes:
        group: the heading it stands under.
        fault: the kind.
        stage: where the program was.
        ended: how the process ended in which it happened.
        then: what the last run came to.
    """

    group: str
    fault: str
    stage: str
    ended: str
    then: str
    count: int


@dataclass(frozen=True)
class Real:
    """One film with the real models, killed at random.

    Attributes:
        kills: how often.
        met: by stage, how often it was killed there.
        windows: how many there are; `windows_again` how many of them were computed again although they were committed.
        differing: files that are not those of the undisturbed run; empty when all is well.
        compared: the files that were compared, byte for byte.
    """

    film: str
    kills: int
    met: dict[str, int]
    windows: int
    windows_again: int
    compared: tuple[str, ...]
    differing: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Report:
    """A whole run.

    Attributes:
        faults: how many things went wrong, in how many jobs (`trials`).
        broken: how many invariants did not hold.
        skipped: by kind, why it was not tried.
    """

    seed: int
    faults: int
    trials: int
    broken: int
    seconds: float
    date: str
    machine: str
    python: str
    rows: tuple[Row, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    real: Real | None = None
