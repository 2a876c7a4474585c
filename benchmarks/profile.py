"""Where the time of a separation goes: `python -m benchmarks.profile MEDIA --json FILE`.

One real job runs in this process, with the functions that do the work replaced by themselves and a clock, and one
after the other: in other jobs, much of this happens while the model works, and takes its cores. What lies
within another measured function counts for the outer one; but for the model, which counts for itself wherever it runs,
on whatever thread. The rest, from the beginning of the first stage to the end of the last, is everything else.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.peers import CORE, MODELS, versions
from benchmarks.performance import (
    QUICK_SECONDS,
    Conditions,
    Shares,
    arguments,
    excerpt,
    length,
    workplace,
    write_part,
)

MODEL, LOADING = "the model", "loading the model"
_ROOM = "stemscribe."
TIMED = (
    ("inference.openvino:OpenVinoGraph.__init__", LOADING),
    ("inference.openvino:OpenVinoGraph.run", MODEL),
    ("inference.onnxruntime:OnnxRuntimeGraph.__init__", LOADING),
    ("inference.onnxruntime:OnnxRuntimeGraph.run", MODEL),
    ("pipeline.stages.demux:Demux.run", "decoding the film"),
    ("audio.source:AudioSource.read", "reading the mix"),
    ("separation.engines.htdemucs_onnx:HTDemucsOnnx.separate", "spectrograms"),
    ("separation.engines.spleeter_onnx:SpleeterOnnx.separate", "spectrograms"),
    ("separation.overlap_add:OverlapAdd.add", "overlap-add"),
    ("separation.stream:examine", "looking for doubts"),
    ("separation.journal:Journal.commit", "journal"),
    ("pipeline.stages.source_separation:write_stems", "writing the stems"),
    ("pipeline.stages.source_separation:prove", "reading the stems back"),
    ("jobs.folder:sha256_of", "hashing"),
)
REST = "everything else"


class Clock:
    """Adds up the seconds of measured functions by what they are for."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._spans: list[tuple[float, float]] = []
        self._lock, self._local = threading.Lock(), threading.local()

    @property
    def model_seconds(self) -> float:
        """The time in which the model runs, on one thread or on several at once."""
        return covered(self._spans)

    def timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """The same function, measured."""

        @wraps(function)
        def measured(*arguments: Any, **named: Any) -> Any:
            with self._within(part):
                return function(*arguments, **named)

        return measured

    @contextmanager
    def _within(self, part: str) -> Iterator[None]:
        local, own = self._local, part in (MODEL, LOADING)
        if not own and getattr(local, "outer", False):
            yield
            return
        before, local.outer = getattr(local, "outer", False), True
        inside_before = getattr(local, "inside", 0.0)
        started = time.perf_counter()
        if not own:
            local.inside = 0.0
        try:
            yield
        finally:
            ended = time.perf_counter()
            with self._lock:
                self.seconds[part] += ended - started - (0.0 if own else local.inside)
                if part == MODEL:
                    self._spans.append((started, ended))
            local.outer = before
            local.inside = inside_before + (ended - started if own else 0.0)


def covered(spans: list[tuple[float, float]]) -> float:
    """How much time lies in at least one of some spans.

    >>> covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])
    4.0
    """
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def one_after_another(work: Callable[[Any], Any], items: Iterable[Any], *, threads: int = 1) -> Iterator[Any]:
    """What `concurrency.one_ahead` gives, with nothing under way meanwhile."""
    return ((item, work(item)) for item in items)


@contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Within the block, every function of `TIMED` is measured, and nothing happens at the same time."""
    with ExitStack() as stack:
        rooms = ("concurrency", "separation.stream", "separation.finish", "separation.proof", "pipeline.stages.look")
        for room in rooms:
            stack.enter_context(patch(f"{_ROOM}{room}.one_ahead", one_after_another))
        stack.enter_context(patch(f"{_ROOM}pipeline.loading.Loading.begin", lambda *_: None))
        for place, part in TIMED:
            module, _, name = place.partition(":")
            owner: Any = import_module(_ROOM + module)
            *outer, attribute = name.split(".")
            for each in outer:
                owner = getattr(owner, each)
            stack.enter_context(patch.object(owner, attribute, clock.timed(getattr(owner, attribute), part)))
        yield


def shares(media: Path, work: Path, model: str) -> tuple[float, Clock]:
    """Separate a file; returns the seconds from the first stage's beginning to the last one's end, and the clock."""
    from stemscribe.audio.probe import identity
    from stemscribe.jobs.folder import create
    from stemscribe.jobs.job import Job, Options
    from stemscribe.models.spec import load_catalog
    from stemscribe.models.store import ModelStore
    from stemscribe.pipeline.reporter import Event, StageCompleted, StageStarted
    from stemscribe.pipeline.runner import Rules, run

    moments: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, StageStarted | StageCompleted):
            moments.append(time.perf_counter())

    options = Options(engine="onnx", device="cpu", separation_model=model, gate="off")
    folder = create(work, Job("", str(media), identity(media), "separate", "en", "", "", options))
    clock = Clock()
    with watched(clock):
        run(folder, ModelStore(MODELS, load_catalog()), work, watch, Rules(rehearse=False, reuse=False))
    return moments[-1] - moments[0], clock


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("media", type=Path)
    parser.add_argument("--model", default="htdemucs")
    asked = parser.parse_args()
    with workplace(asked) as work:
        media = excerpt(asked.media, work / "excerpt.wav", QUICK_SECONDS) if asked.quick else asked.media.resolve()
        seconds, clock = shares(media, work, asked.model)
        parts = {name: round(each, 3) for name, each in clock.seconds.items() if name not in (MODEL, LOADING)}
        loading, within = clock.seconds[LOADING], clock.model_seconds
        parts[REST] = round(max(0.0, seconds - loading - within - sum(parts.values())), 3)
        found = Shares(
            Conditions.here(versions(CORE, "stemscribe", "openvino", "onnxruntime")),
            f"{asked.media.stem}, {asked.model}",
            length(media),
            round(seconds - loading, 3),
            round(loading, 3),
            round(within, 3),
            dict(sorted(parts.items(), key=lambda part: -part[1])),
        )
    write_part(asked.json, shares=found)
    print(f"{found.media}: {found.seconds:.1f} s, {100 * found.beside_the_model:.1f} % beside the model")
    for name, each in found.parts.items():
        print(f"  {name:24} {each:8.2f} s {100 * each / found.seconds:6.1f} %")


if __name__ == "__main__":
    main()
