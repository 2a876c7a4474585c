"""The doctor: looks at each environment, makes it work once in small, says what is wrong, and mends what can be mended.

What it needs beside the rules is handed in: how an environment is proven (its golden task) and how it is replaced. So
nothing here knows what torch is, and nothing is rebuilt that no finding speaks of.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from stemscribe.environments.facts import EnvironmentFacts, FolderFacts, HostFacts, ModelFacts
from stemscribe.environments.gpu import nvidia_gpu
from stemscribe.environments.rules import Finding, findings, host_findings
from stemscribe.errors import EnvironmentBroken, StemscribeError
from stemscribe.models.receipt import read_receipt
from stemscribe.models.sources import Derive, Npm
from stemscribe.models.store import ModelStore

PCI = Path("/sys/bus/pci/devices")
NVIDIA, DISPLAY = "0x10de", "0x03"


class Golden(Protocol):
    """What a golden task that went well tells."""

    @property
    def runtime(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def seconds(self) -> float: ...


@dataclass(frozen=True)
class Practice:
    """What the doctor works with.

    Attributes:
        venvs: the folder of environments.
        look: gives the facts about an environment, by its name and folder.
        golden: the golden task of an environment, in a folder; raises `StemscribeError` when it does not work.
        replace: makes an environment anew, and puts it in its place when the given proof has not raised; or leaves one
            alone that another process has made since its marker was written at the given time.
        models: the models that jobs take theirs from.
    """

    venvs: Path
    look: Callable[[str, Path], EnvironmentFacts]
    golden: Callable[[str, Path], Golden]
    replace: Callable[[str, Callable[[Path], None], float], object]
    models: ModelStore


@dataclass(frozen=True)
class Trial:
    """How the golden task went.

    Attributes:
        went: `skipped` where it could not work, or there is nothing to try.
        runtime: what computed, and on which device.
        model: what it was done with; empty where no weights were there and random ones took their place.
        seconds: how long it took.
        why: the reason for what did not go well.
    """

    went: Literal["well", "wrong", "skipped"]
    runtime: str = ""
    model: str = ""
    seconds: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Examination:
    """What is known of one environment."""

    environment: str
    findings: tuple[Finding, ...]
    trial: Trial
    facts: EnvironmentFacts

    @property
    def healthy(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)


@dataclass(frozen=True)
class Report:
    """What is known of all environments that were examined, and of the machine.

    Attributes:
        healthy: whether nothing was found that keeps work from being done.
        findings: those about the machine; each environment has its own.
    """

    healthy: bool
    environments: tuple[Examination, ...]
    findings: tuple[Finding, ...]
    host: HostFacts


@dataclass(frozen=True)
class Mending:
    """What came of mending one thing.

    Attributes:
        what: an environment or a model, as people call it.
        failure: why it could not be mended; what was there is still there then.
    """

    what: str
    failure: StemscribeError | None = None


def examine(names: Sequence[str], practice: Practice, host: HostFacts, *, asked: Iterable[str] = ()) -> Report:
    """Look at environments, and run the golden task in those that look as if it could work.

    Args:
        names: of the environments.
        practice: what to work with.
        host: the machine, see `look_at_host`.
        asked: those that must be there; that another one is not is no fault.
    """
    wanted = set(asked)
    examinations = tuple(_examine(name, practice, host, optional=name not in wanted) for name in names)
    about_host = host_findings(host)
    errors = [finding for finding in about_host if finding.severity == "error"]
    healthy = not errors and all(examination.healthy for examination in examinations)
    return Report(healthy, examinations, about_host, host)


def mend(report: Report, practice: Practice, tell: Callable[[str], None] = lambda sentence: None) -> list[Mending]:
    """Rebuild the environments and fetch the models that a fixable finding speaks of, and touch nothing else.

    An environment is made beside the old one, which stays until the new one has done its golden task.

    Args:
        report: what `examine` found.
        practice: what to work with.
        tell: called with a sentence before each.

    Returns:
        What was tried; empty when there was nothing to mend.
    """
    tried = []
    for model in report.host.models:  # first, for the golden task of a new environment is done with them
        if model.trouble == "damaged":
            tell(f"Fetching model {model.name} again; damaged: {', '.join(model.files)}.")
            tried.append(_attempt(f"model {model.name}", partial(practice.models.fetch, model.name)))
    for examination in report.environments:
        reason = next((finding for finding in examination.findings if finding.fixable), None)
        if reason is not None:
            name = examination.environment
            tell(f"Making venv/{name} anew: {reason.what}")
            rebuild = partial(practice.replace, name, _proof(name, practice), examination.facts.proven_at)
            tried.append(_attempt(f"venv/{name}", rebuild))
    return tried


def look_at_host(models: ModelStore, out_dir: Path, wanted: Iterable[str]) -> HostFacts:
    """The facts about the machine that rules ask for; models that are there are hashed.

    Args:
        models: the store, of which every model is looked at that has a folder.
        out_dir: where jobs are.
        wanted: the models that jobs need.
    """
    gpu = nvidia_gpu()
    return HostFacts(
        driver=gpu.driver if gpu else "",
        gpus=(gpu.name,) if gpu else (),
        has_nvidia_device=gpu is not None or _has_nvidia_device(),
        npm=shutil.which("npm") is not None,
        folders=(
            look_at_folder("the out folder", out_dir, "--out-dir"),
            look_at_folder("the folder of models", models.root, "--models-dir"),
        ),
        models=look_at_models(models, wanted),
    )


def look_at_folder(role: str, path: Path, option: str) -> FolderFacts:
    """Whether a folder can be written, and how much fits into it; one that is not there yet is looked at where it would
    be made.
    """
    folders = (path.absolute(), *path.absolute().parents)
    place = next((folder for folder in folders if os.path.lexists(folder)), None)
    if place is None:
        return FolderFacts(role, path, option, 0, f"{path.absolute().anchor} is not there")
    try:
        free = shutil.disk_usage(place).free
        with tempfile.TemporaryFile(dir=place, prefix=".stemscribe-") as file:  # rights alone do not tell: try it
            file.write(b"\0")
    except OSError as error:
        return FolderFacts(role, path, option, 0, error.strerror or type(error).__name__)
    return FolderFacts(role, path, option, free)


def look_at_models(models: ModelStore, wanted: Iterable[str]) -> tuple[ModelFacts, ...]:
    """Which models are missing or damaged, of those that are wanted and those that are there."""
    names = set(wanted)
    return tuple(
        _look_at_model(models, name) for name in models.catalog if name in names or models.folder(name).is_dir()
    )


def _look_at_model(models: ModelStore, name: str) -> ModelFacts:
    receipt = read_receipt(models.folder(name))
    checks = models.verify(name)
    needs_npm = _comes_through_npm(models, name)
    # What was there once and is gone is damage; what never was is only missing.
    damaged = [
        check.file for check in checks if not check.whole and (check.status == "damaged" or check.file in receipt)
    ]
    missing = [check.file for check in checks if check.status == "missing"]
    if damaged:
        return ModelFacts(name, "damaged", tuple(damaged), needs_npm)
    return ModelFacts(name, "missing" if missing else "", tuple(missing), needs_npm)


def _comes_through_npm(models: ModelStore, name: str) -> bool:
    """Whether a model, or what it is made from, is inside an npm package."""
    sources = [source for file in models.spec(name).files for source in file.sources]
    origins = (source.model for source in sources if isinstance(source, Derive))
    return any(isinstance(source, Npm) for source in sources) or any(_comes_through_npm(models, one) for one in origins)


def _has_nvidia_device() -> bool:
    """Whether the PCI bus has a graphics card of NVIDIA's, with a driver or without; known on Linux only."""
    try:
        devices = list(PCI.iterdir())
        return any(
            (device / "vendor").read_text().startswith(NVIDIA) and (device / "class").read_text().startswith(DISPLAY)
            for device in devices
        )
    except OSError:
        return False


def _examine(name: str, practice: Practice, host: HostFacts, *, optional: bool) -> Examination:
    venv = practice.venvs / name
    facts = practice.look(name, venv)
    found = findings(facts, host)
    if not facts.is_there and optional:
        found = tuple(replace(finding, severity="note", fixable=False) for finding in found)
    hopeless = _hopeless(facts, found)
    if hopeless:
        return Examination(name, found, Trial("skipped", why=hopeless), facts)
    try:
        golden = practice.golden(name, venv)
    except StemscribeError as error:
        return Examination(name, (*found, _golden_finding(name, error)), Trial("wrong", why=error.message), facts)
    return Examination(name, found, Trial("well", golden.runtime, golden.model, golden.seconds), facts)


def _hopeless(facts: EnvironmentFacts, found: Sequence[Finding]) -> str:
    """Why the golden task cannot work; empty when it is worth a try."""
    broken = [module for module in facts.required if facts.error(module)]
    if facts.is_there and not facts.interpreter and not facts.closed and not facts.inspection_error and not broken:
        return ""
    return found[0].what


def _golden_finding(name: str, error: StemscribeError) -> Finding:
    is_broken = isinstance(error, EnvironmentBroken)
    return Finding(
        "golden-task",
        "error",
        f"The golden task does not work in venv/{name}: {error.message}",
        "It is what every job does, done once in small: load the model, work on one window, write and read back.",
        f"Run `stemscribe doctor --env {name} --fix`." if is_broken else error.hint,
        fixable=is_broken,
    )


def _proof(name: str, practice: Practice) -> Callable[[Path], None]:
    def prove(venv: Path) -> None:
        practice.golden(name, venv)

    return prove


def _attempt(what: str, action: Callable[[], object]) -> Mending:
    try:
        action()
    except StemscribeError as error:
        return Mending(what, error)
    return Mending(what)
