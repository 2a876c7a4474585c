"""Plans faults, breaks things by them in two processes at once, and counts what came of it."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import platform
import random
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .place import JOB, Undisturbed, undisturbed
from .report import Report, Row

LANES = 2
# What the rest of a plan is filled with, once every kind and variant has had its turn.
FILLING = (
    "SIGKILL at a random moment",
    "SIGKILL at a crash point",
    "power cut at a crash point",
    "SIGKILL at a random moment",
    "SIGKILL in the rehearsal",
    "SIGTERM",
    "Ctrl-C",
)


@dataclass(frozen=True)
class Trying:
    """One entry of a plan; `sabotage` is for tests of the harness."""

    kind: str
    variant: dict[str, Any]
    seed: int
    sabotage: str = ""


@dataclass(frozen=True)
class Tried:
    """What came of it.

    Attributes:
        hits: for each thing that went wrong, in which stage the program was, and how it ended.
        ended: what the last run came to.
        broken: invariants that did not hold, in words.
        skipped: why it was not tried; empty when it was.
        talk: what the processes said, when something is broken.
    """

    trying: Trying
    hits: tuple[tuple[str, str], ...]
    ended: str
    broken: tuple[str, ...]
    skipped: str
    seconds: float
    talk: str = ""


def plan(reference: Undisturbed, faults: int, seed: int, only: str = "") -> list[Trying]:
    """Every kind once, then every variant that is not one of the many crash points, then kills and cuts to fill up.

    Args:
        reference: whose points can be hit.
        faults: how many jobs to break; never less than there are kinds.
        seed: of all chance.
        only: leave out kinds that have not this in their name.
    """
    from .kinds import KINDS

    chance = random.Random(seed)
    variants = {name: kind.all_variants(reference) for name, kind in KINDS.items() if only in name}
    for each in variants.values():
        chance.shuffle(each)
    first = [(name, each.pop()) for name, each in variants.items()]
    second = [(name, each) for name, rest in variants.items() if not KINDS[name].of_points for each in rest]
    chance.shuffle(second)
    chosen = (first + second)[: max(faults, len(first))]
    filling = itertools.cycle([name for name in FILLING if name in variants] or list(variants))
    while len(chosen) < faults:
        name = next(filling)
        if not variants[name]:
            variants[name] = KINDS[name].all_variants(reference)
            chance.shuffle(variants[name])
        chosen.append((name, variants[name].pop()))
    return [Trying(name, variant, chance.randrange(1 << 30)) for name, variant in chosen]


def attempt(reference: Undisturbed, trying: Trying, folder: Path) -> Tried:
    """One trial, from a fresh place to the last question."""
    from .kinds import KINDS
    from .trial import NotHere, new_trial

    started = time.monotonic()
    trial = new_trial(reference, folder, trying.seed, trying.sabotage)
    skipped = ""
    try:
        KINDS[trying.kind].act(trial, **trying.variant)
    except NotHere as error:
        skipped = str(error)
    except Exception:  # noqa: BLE001 - a harness that trips counts as broken, and goes on with the next
        trial.broken.append(f"the harness tripped: {traceback.format_exc()}")
    finally:
        trial.close()
    talk = (
        "".join(path.read_text(errors="replace") for path in sorted(trial.place.notes.glob("*.err")))
        if trial.broken
        else ""
    )
    if not trial.broken:
        shutil.rmtree(folder, ignore_errors=True)
    hits = tuple((hit.stage, hit.ended) for hit in trial.hits)
    return Tried(trying, hits, trial.ended, tuple(trial.broken), skipped, time.monotonic() - started, talk)


def carry_out(
    tries: list[Trying], reference: Undisturbed, folder: Path, tell: Callable[[Tried], None] = lambda tried: None
) -> list[Tried]:
    """All trials, two at a time."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(LANES, mp_context=context, initializer=_load) as lanes:
        waiting = [
            lanes.submit(attempt, reference, trying, folder / f"{number:04d}") for number, trying in enumerate(tries)
        ]
        done = []
        for future in as_completed(waiting):
            done.append(future.result())
            tell(done[-1])
    return done


def _load() -> None:
    """Import everything once, in each lane."""
    from . import program  # noqa: F401


def report(tried: list[Tried], seed: int, seconds: float) -> Report:
    from .kinds import KINDS

    counts = Counter(
        (KINDS[each.trying.kind].group, each.trying.kind, stage, ended, each.ended)
        for each in tried
        for stage, ended in each.hits
    )
    order = list(KINDS)
    rows = sorted(
        (Row(*key, count) for key, count in counts.items()), key=lambda row: (order.index(row.fault), row.stage)
    )
    return Report(
        seed=seed,
        faults=sum(len(each.hits) for each in tried),
        trials=sum(not each.skipped for each in tried),
        broken=sum(len(each.broken) for each in tried),
        seconds=round(seconds, 1),
        date=datetime.now(timezone.utc).date().isoformat(),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        python=platform.python_version(),
        rows=tuple(rows),
        skipped={each.trying.kind: each.skipped for each in tried if each.skipped},
    )


def reference_in(folder: Path, silero: Path, asked: tuple[str, ...] = JOB) -> Undisturbed:
    """The undisturbed job, made by a process of its own: this one must not have run a model when it forks."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as lane:
        return lane.submit(undisturbed, folder, silero, asked).result()


def as_json(outcome: Report) -> str:
    """A report as JSON, a line for each row."""
    facts = asdict(outcome)
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in facts.pop("rows"))
    return json.dumps(facts, indent=1, ensure_ascii=False)[:-2] + f',\n "rows": [\n  {rows}\n ]\n}}\n'
