"""The process that fuzzes one target: `run.py` starts it, and outlives it."""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import math
import random
import resource
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder that pytest finds its own modules in

from fuzz.tally import Tally

if TYPE_CHECKING:
    from fuzz.targets import Target

SECONDS_A_FILE = 20
GROWTH = 400 << 20  # bytes of memory that one file may take
ADDRESS_SPACE = 6 << 30
LONGEST = 1 << 17
_INSTRUMENTED = ["stemscribe", "fuzz.targets", "tomllib", "html"]


class Fuzzer:
    """The process of one target: feeds it, measures it, and writes down after each file how far it is.

    Args:
        folder: where findings go, and `round.json`, which the parent reads whatever became of this process.
    """

    def __init__(self, target: Target, folder: Path, scratch: Path) -> None:
        self._target, self._folder, self._scratch = target, folder, scratch
        self._tally = Tally()
        self._said = 0.0
        self._memory = _memory()

    def feed(self, data: bytes) -> None:
        current = self._folder / "current"
        current.write_bytes(data)
        faulthandler.dump_traceback_later(SECONDS_A_FILE, exit=True, file=sys.__stderr__)
        started = time.monotonic()
        try:
            self._tally.read += not self._target.survives(data, self._scratch)
        except Exception as error:  # noqa: BLE001 - finding them is the purpose
            self._found(data, error)
        finally:
            faulthandler.cancel_dump_traceback_later()
        self._tally.slowest = max(self._tally.slowest, time.monotonic() - started)
        grown, self._memory = _memory() - self._memory, _memory()
        self._tally.largest = max(self._tally.largest, grown)
        if grown > GROWTH:
            self._found(data, MemoryError(f"{grown / 1e6:.0f} MB for one file"))
        self._tally.files += 1
        if time.monotonic() - self._said > 1.0:
            self.say()

    def say(self) -> None:
        self._said = time.monotonic()
        (self._folder / "round.json").write_text(json.dumps(asdict(self._tally)))

    def _found(self, data: bytes, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "stemscribe" in frame.filename or "targets" in frame.filename]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "memory"
        kind = f"{type(error).__name__} at {place}: {error}"[:160]
        key = f"{type(error).__name__}-{place}".replace(":", "-")
        short = f"{type(error).__name__} at {place}"
        self._tally.crashes[short] = self._tally.crashes.get(short, 0) + 1
        self.say()
        kept = self._folder / "crashes" / key
        if not kept.exists() or kept.stat().st_size > len(data):  # the smallest file that does it
            kept.write_bytes(data)
            kept.with_name(f"{kept.name}.txt").write_text(kind + "\n" + "".join(traceback.format_exception(error)))


def _memory() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def fuzz(target: Target, folder: Path, seconds: float, seed: int) -> None:
    """Feed a target with what atheris and our own mutations make of its seeds, for so many seconds."""
    import atheris

    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for data in target.seeds():
        (corpus / sha256(data).hexdigest()[:16]).write_bytes(data)
    with tempfile.TemporaryDirectory() as scratch:
        fuzzer = Fuzzer(target, folder, Path(scratch))

        def mutate(data: bytes, limit: int, number: int) -> bytes:
            source = random.Random(number)
            if source.random() < 0.2:
                return bytes(atheris.Mutate(data, limit))
            return target.mutated(source, bytes(data) if source.random() < 0.5 else None)[:limit]

        arguments = [
            f"-max_total_time={math.ceil(seconds)}",
            f"-max_len={LONGEST}",
            f"-seed={seed}",
            "-rss_limit_mb=0",
            f"-artifact_prefix={folder}/",
        ]
        atheris.Setup([sys.argv[0], *arguments, "-verbosity=0", str(corpus)], fuzzer.feed, custom_mutator=mutate)
        atheris.Fuzz()


def main() -> None:
    """Serve `run.py`."""
    import atheris

    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    chosen = parser.parse_args()
    with atheris.instrument_imports(include=_INSTRUMENTED):
        from fuzz.targets import TARGETS
    fuzz(TARGETS[chosen.target], chosen.folder, chosen.seconds, chosen.seed)


if __name__ == "__main__":
    main()
