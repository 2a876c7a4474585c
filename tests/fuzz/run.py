"""Fuzzes every target in turn with atheris: `python tests/fuzz/run.py --minutes 30`.

Each target runs in a process of its own, with a limit of memory and one of time per file; it is started again after a
crash, and from time to time without. What it found lies in the `--folder`: the file, and what happened. A file that
is worth keeping goes to `regressions/TARGET/`, where `test_fuzz.py` finds it. Needs atheris (pip install
'.[fuzz]'), which is for Linux and macOS; nothing else here does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder that pytest finds its own modules in

from fuzz.tally import Tally
from fuzz.targets import TARGETS

ROUND = 60.0  # how long a process lives
INTERRUPTED = 72  # libFuzzer's exit code after a signal from outside


def fuzz_all(names: list[str], minutes: float, folder: Path, seed: int) -> dict[str, Tally]:
    """Every target for the same time, in rounds; the tallies by name."""
    tallies = {name: Tally() for name in names}
    share = minutes * 60 / len(names)
    turn = 0
    while waiting := [name for name in names if tallies[name].seconds < share]:
        for name in waiting:
            turn += 1
            _round(name, min(ROUND, share - tallies[name].seconds), folder / name, seed + turn, tallies[name])
            (folder / "tallies.json").write_text(
                json.dumps({key: asdict(one) for key, one in tallies.items()}, indent=1)
            )
            _say(f"{name:<11}{_line(tallies[name])}")
    return tallies


def _round(name: str, seconds: float, folder: Path, seed: int, tally: Tally) -> None:
    """One process of a target; its death is a finding too."""
    (folder / "crashes").mkdir(parents=True, exist_ok=True)
    (folder / "round.json").unlink(missing_ok=True)
    (folder / "current").unlink(missing_ok=True)
    child = Path(__file__).with_name("child.py")
    command = [sys.executable, child, name, "--folder", folder, "--seconds", str(seconds), "--seed", str(seed)]
    started = time.monotonic()
    with (folder / "log").open("wb") as log:
        code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    if (folder / "round.json").exists():
        counted = json.loads((folder / "round.json").read_text())
        tally.add(Tally(**{**counted, "seconds": 0.0}))
    tally.seconds += time.monotonic() - started
    if code not in (0, INTERRUPTED):
        says = (folder / "log").read_text(errors="replace")
        if not (folder / "current").exists():
            raise SystemExit(f"{name} could not be started:\n{says[-2000:]}")
        kind = "hang" if "Timeout (" in says else f"ended with {code}"
        tally.crashes[kind] = tally.crashes.get(kind, 0) + 1
        data = (folder / "current").read_bytes()
        kept = folder / "crashes" / f"{kind.replace(' ', '-')}-{sha256(data).hexdigest()[:8]}"
        kept.write_bytes(data)
        kept.with_name(f"{kept.name}.txt").write_text(says[-8000:])


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _line(tally: Tally) -> str:
    crashes = "; ".join(f"{count} × {kind}" for kind, count in tally.crashes.items())
    return (
        f"{tally.files:>9} files {tally.read:>9} read {tally.seconds / 60:>6.1f} min"
        f"  slowest {tally.slowest:5.1f} s  most {tally.largest / 1e6:4.0f} MB  {crashes or 'no crash'}"
    )


def main() -> int:
    """Fuzz; returns 1 when anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="for all targets together")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "stemscribe-fuzz")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; all by default")
    chosen = parser.parse_args()
    tallies = fuzz_all(chosen.targets or list(TARGETS), chosen.minutes, chosen.folder, chosen.seed)
    _say("\n".join(f"{name:<11}{_line(tally)}" for name, tally in tallies.items()))
    return int(any(tally.crashes for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
