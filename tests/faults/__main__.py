"""`cd tests && python -m faults --faults 500 --json ../docs/explanation/reliability.json`: break things, and see."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from platformdirs import user_cache_path

from .harness import Tried, as_json, carry_out, plan, reference_in, report
from .report import Report

SILERO = "silero-vad"


def main(arguments: Sequence[str]) -> int:
    """Carry out a plan; returns 1 when an invariant did not hold."""
    chosen = _parsed(arguments)
    models = Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or user_cache_path("stemscribe") / "models")
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=chosen.work))
    started = time.monotonic()
    reference = reference_in(folder / "reference", models / SILERO)
    tries = plan(reference, chosen.faults, chosen.seed, chosen.only)
    done: list[Tried] = []

    def tell(tried: Tried) -> None:
        done.append(tried)
        _say(f"{len(done):4d} of {len(tries)}  {tried.seconds:5.1f} s  {tried.trying.kind}: {_verdict(tried)}")

    tried = carry_out(tries, reference, folder, tell)
    outcome = report(tried, chosen.seed, time.monotonic() - started)
    if chosen.real:
        from .real import killed_for_real

        outcome = replace(outcome, real=killed_for_real(folder / "real", models, chosen.seed, _say))
    if chosen.json:
        chosen.json.write_text(as_json(outcome), encoding="utf-8")
    for each in (each for each in tried if each.broken):
        _say(f"\nBROKEN: {each.trying}\n" + "\n".join(f"  - {line}" for line in each.broken) + f"\n{each.talk}")
    _say(_summary(outcome, folder))
    bad = outcome.broken or (outcome.real and outcome.real.differing)
    if not bad:
        shutil.rmtree(folder, ignore_errors=True)
    return int(bool(bad))


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description="Break jobs on purpose, and see what holds.")
    parser.add_argument("--faults", type=int, default=500, help="how many jobs to break, at least one of every kind")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--only", default="", metavar="WORDS", help="only kinds that have this in their name")
    parser.add_argument("--real", action="store_true", help="kill a real film with the real models, too")
    parser.add_argument("--work", type=Path, help="where to work, instead of the system's folder for such things")
    return parser.parse_args(arguments)


def _verdict(tried: Tried) -> str:
    if tried.skipped:
        return f"skipped: {tried.skipped}"
    hits = ", ".join(f"{stage} ({ended})" for stage, ended in tried.hits)
    return f"{hits}; {'BROKEN: ' + tried.broken[0] if tried.broken else tried.ended}"


def _summary(outcome: Report, folder: Path) -> str:
    kept = f"; what is broken is kept in {folder}" if outcome.broken else ""
    return f"{outcome.faults} faults in {outcome.trials} jobs, {outcome.broken} broken invariants{kept}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
