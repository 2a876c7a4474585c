"""Which engine separates: torch where it has a GPU to work on, else the ONNX graph; decided anew for every run.

A job says what was asked (`auto`, `htdemucs`); a run needs to know what that means on this machine. The answer replaces
what was asked in the options that stages see, so that fingerprints hold what was really used.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from stemscribe.choices import Engine, StemSet
from stemscribe.environments.gpu import gpu_for_torch
from stemscribe.environments.interpreter import is_there, python_in
from stemscribe.environments.profile import DEMUCS
from stemscribe.errors import EnvironmentBroken, UsageError
from stemscribe.inference import choose_runtime
from stemscribe.jobs.job import Options
from stemscribe.models.spec import Catalog
from stemscribe.separation.engines.demucs_torch import working_device

ENGINES: dict[str, Engine] = {"onnx": "onnx", "torch": "torch"}
ONNX_ENGINES = ("htdemucs_onnx", "spleeter_onnx")
TORCH_ENGINE = "demucs_torch"
_ONNX_SUFFIX, _TORCH_SUFFIX = "-onnx", "-torch"

STEMS: dict[StemSet, tuple[str, ...]] = {
    "two": ("vocals",),
    "four": ("drums", "bass", "other", "vocals"),
    "six": ("drums", "bass", "other", "vocals", "guitar", "piano"),
}
"""What a model is asked for; the accompaniment is what the mix has beside the vocals."""


@dataclass(frozen=True)
class EngineChoice:
    """What separates.

    Attributes:
        options: with the `engine`, and as `separation_model` the catalog's name of what it loads.
        why: the reason, as the end of a sentence.
    """

    options: Options
    why: str


def choose_engine(options: Options, catalog: Catalog, environments: Path, begun_with: str = "") -> EngineChoice:
    """The engine for a job on this machine.

    Args:
        options: what was asked.
        catalog: the models that there are.
        environments: the folder of virtual environments.
        begun_with: the engine that an earlier run of the job decided on, if any; what was left open stays decided.

    Raises:
        UsageError: there is no such model, or the engine, device or stems do not go together.
    """
    onnx, torch = _entries(options.separation_model, catalog)
    if begun_with in ENGINES and options.engine == "auto":
        engine, why = ENGINES[begun_with], "the job began with it"
    else:
        engine, why = _engine(options, onnx, torch, environments)
    entry = torch if engine == "torch" else onnx
    if entry is None:
        raise UsageError(f"There is no {options.separation_model} for engine {engine}.", hint="Prepare a new job.")
    if missing := [stem for stem in STEMS[options.stems] if stem not in catalog[entry].stems]:
        raise UsageError(
            f"Model {options.separation_model} has no {' and no '.join(missing)}.",
            hint=f"It has {', '.join(catalog[entry].stems)}. {_other_model(missing)}.",
        )
    if engine == "torch":
        if options.device == "coreml":
            raise UsageError("Device coreml is for --engine onnx; torch has mps.", hint="Use --device mps, or auto.")
    elif options.device == "mps":
        raise UsageError("Device mps is for --engine torch; onnx has coreml.", hint="Use --device coreml, or auto.")
    else:
        choose_runtime(options.device)
    return EngineChoice(replace(options, engine=engine, separation_model=entry), why)


def _other_model(missing: list[str]) -> str:
    """Which model has the stems that one has not."""
    if "piano" in missing:
        return "For guitar and piano: --separation-model htdemucs_6s"
    return "For drums, bass and other: --separation-model htdemucs"


def require_environment(environments: Path) -> Path:
    """The interpreter of the environment that has torch.

    Raises:
        EnvironmentBroken: it is not there.
    """
    python = python_in(environments / DEMUCS)
    if not is_there(python):
        raise EnvironmentBroken(
            f"Engine torch works in {environments / DEMUCS}, and that is not there.",
            hint="Run `./bootstrap.sh --env demucs` to make it, or leave out --engine.",
        )
    return python


def _entries(model: str, catalog: Catalog) -> tuple[str | None, str | None]:
    """What the ONNX engine and the torch engine would load for a model."""

    def entry(suffix: str, engines: Collection[str]) -> str | None:
        candidates = (name for name in (model + suffix, model) if name in catalog)
        return next((name for name in candidates if catalog[name].engine in engines), None)

    onnx, torch = entry(_ONNX_SUFFIX, ONNX_ENGINES), entry(_TORCH_SUFFIX, {TORCH_ENGINE})
    if onnx is None and torch is None:
        known = [name for name, spec in catalog.items() if spec.engine in {*ONNX_ENGINES, TORCH_ENGINE}]
        names = dict.fromkeys(name.removesuffix(_ONNX_SUFFIX).removesuffix(_TORCH_SUFFIX) for name in known)
        raise UsageError(f"There is no separation model {model!r}.", hint=f"Choose one of: {', '.join(names)}.")
    return onnx, torch


def _engine(options: Options, onnx: str | None, torch: str | None, environments: Path) -> tuple[Engine, str]:
    """The engine, and why it is that one."""
    model = options.separation_model
    if options.engine == "onnx" and onnx is None:
        raise UsageError(f"There is no ONNX graph of {model}.", hint="Use --engine torch.")
    if options.engine == "torch" and torch is None:
        raise UsageError(f"There is no {model} for torch.", hint="Use --engine onnx.")
    if options.engine != "auto":
        return options.engine, "as asked"
    if onnx is None:
        return "torch", f"there is no ONNX graph of {model}"
    if torch is None or options.device == "coreml":
        return "onnx", f"there is no {model} for torch" if torch is None else "coreml is its device"
    if options.device == "mps":
        return "torch", "mps is its device"
    if options.device == "cpu":
        return "onnx", "it needs less memory on a CPU"
    return _engine_for_gpu(environments)


@lru_cache(maxsize=1)  # it may start torch, and is asked for each file of many
def _engine_for_gpu(environments: Path) -> tuple[Engine, str]:
    gpu = gpu_for_torch()
    if gpu is None:
        return "onnx", "there is no GPU that torch could use"
    python = python_in(environments / DEMUCS)
    if not is_there(python):
        return "onnx", f"{gpu} is there, but not {environments / DEMUCS} (`./bootstrap.sh --env demucs` makes it)"
    try:
        device = working_device(python)
    except EnvironmentBroken as error:
        return "onnx", f"{gpu} is there, but torch does not work: {error.message}"
    if device == "cpu":
        return "onnx", f"{gpu} is there, but torch cannot use it (`stemscribe doctor --env demucs` tells why)"
    return "torch", f"it can use {gpu}"
