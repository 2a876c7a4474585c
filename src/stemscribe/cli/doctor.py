"""`stemscribe doctor`: whether the environments can do their work, what is wrong if not, and `--fix`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stemscribe.cli import console
from stemscribe.cli.context import PROJECT, place_options, settings, store
from stemscribe.errors import EnvironmentBroken, UsageError

if TYPE_CHECKING:
    from stemscribe.choices import Device
    from stemscribe.environments.rules import Finding
    from stemscribe.models.spec import Catalog
    from stemscribe.models.store import ModelStore
    from stemscribe.pipeline.doctor import Examination, Practice, Report

ALWAYS = ("core", "demucs")
NEEDED = ("core",)  # the others are for those who want them
MARKS = {"error": "✗", "warning": "⚠", "note": "·"}


@click.command("doctor")
@click.option(
    "--env",
    "names",
    multiple=True,
    type=click.Choice(["core", "demucs", "tests"]),
    help="Examine this environment, which must be there [default: core, and demucs if it is there].",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.option("--fix", is_flag=True, help="Make anew what is broken, and only that; then examine again.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps", "coreml"]),
    default="auto",
    show_default=True,
    help="Where the golden tasks compute.",
)
@click.option(
    "--matrix",
    type=click.Path(path_type=Path),
    metavar="JSON",
    help="Instead: build each combination of torch and its companions, try it, and note in this file what works.",
)
@place_options
def command(
    names: tuple[str, ...],
    as_json: bool,
    fix: bool,
    device: Device,
    matrix: Path | None,
    out_dir: Path | None,
    models_dir: Path | None,
    offline: bool | None,
) -> None:
    """Examine the environments, by making each of them work once in small.

    Whatever is known to break is named with what to do about it. With --fix, an environment is made anew beside the old
    one, which stays until the new one works.
    """
    from stemscribe.pipeline.compatibility import measure
    from stemscribe.pipeline.doctor import examine, look_at_host, mend

    chosen = settings(out_dir=out_dir, models_dir=models_dir, offline=offline)
    if chosen.offline and (fix or matrix is not None):
        option = "--fix" if matrix is None else "--matrix"
        raise UsageError(
            f"`{option}` downloads packages, and no connection may be opened (offline).",
            hint="Leave one of the two out; offline is also a setting of the environment and of stemscribe.toml.",
        )
    with console.display() as shown:
        models = store(chosen, shown)
        if matrix is not None:
            measure(matrix, PROJECT, models, os.environ, console.say)
            return
        practice = _practice(chosen.venv_dir, models, device)

        def examined() -> Report:
            host = look_at_host(models, chosen.out_dir, _wanted(models.catalog, chosen.venv_dir))
            return examine(names or ALWAYS, practice, host, asked=names or NEEDED)

        report = examined()
        if fix and (tried := mend(report, practice, console.say)):
            for mending in tried:
                console.say(f"{mending.what} could not be mended." if mending.failure else f"{mending.what} is mended.")
                if mending.failure:
                    console.failed(mending.failure)
            report = examined()
    if as_json:
        console.answer_json(_record(report))
    else:
        for line in _lines(report):
            console.answer(line)
    if not report.healthy:
        raise EnvironmentBroken(_sentence(report), hint=_hint(report))


def _practice(venvs: Path, models: ModelStore, device: Device) -> Practice:
    from stemscribe.environments.choice import choose_profile
    from stemscribe.environments.facts import EnvironmentFacts, look, profile_for
    from stemscribe.environments.installer import best_installer
    from stemscribe.environments.manager import EnvironmentManager
    from stemscribe.environments.profile import EnvironmentProfile, profiles
    from stemscribe.pipeline.doctor import Practice
    from stemscribe.pipeline.golden import Golden, golden_task

    everything = profiles(PROJECT)
    python = os.environ.get("STEMSCRIBE_PYTHON")
    manager = EnvironmentManager(venvs, best_installer(), os.environ, requested_python=python, tell=console.say)

    def recipes(name: str) -> dict[str, EnvironmentProfile]:
        return {key: profile for key, profile in everything.items() if profile.environment == name}

    def facts_of(name: str, venv: Path) -> EnvironmentFacts:
        return look(name, venv, profile_for(venv, list(recipes(name).values())), os.environ)

    def golden(name: str, venv: Path) -> Golden:
        return golden_task(name, venv, models, device)

    def replace(name: str, proof: Callable[[Path], None], seen: float) -> None:
        manager.replace(choose_profile(recipes(name), venvs / name, requested_python=python), proof, seen=seen)

    return Practice(venvs, facts_of, golden, replace, models)


def _wanted(catalog: Catalog, venvs: Path) -> list[str]:
    """The models that a job needs when nothing else is asked for, and no GPU is there."""
    from stemscribe.jobs.job import Options
    from stemscribe.pipeline.engines import choose_engine
    from stemscribe.pipeline.workflows import workflow_named

    options = choose_engine(Options(engine="onnx"), catalog, venvs).options
    steps = workflow_named("transcribe").steps
    return list(dict.fromkeys(model for step in steps for model in step.stage.models(options)))


def _record(report: Report) -> object:
    """The report for a program, paths as text."""
    import msgspec

    return msgspec.to_builtins(report, enc_hook=str)


def _lines(report: Report) -> Iterator[str]:
    """The report for a person."""
    for examination in report.environments:
        yield _headline(examination)
        for finding in examination.findings:
            yield from _paragraph(finding)
    for finding in report.findings:
        yield from _paragraph(finding, indent="")
    if not report.findings:
        free = ", ".join(f"{folder.free / 1e9:.0f} GB free in {folder.role}" for folder in report.host.folders)
        yield f"✓ this machine: {free}; the models are whole"


def _headline(examination: Examination) -> str:
    name, trial = f"venv/{examination.environment}", examination.trial
    if not examination.facts.is_there:
        return f"{MARKS['note'] if examination.healthy else MARKS['error']} {name}: not there"
    if trial.went == "well":
        worked = f"did its golden task in {trial.seconds:.1f} s ({trial.runtime}; {trial.model or 'no weights yet'})"
        return f"✓ {name}: {worked}" if examination.healthy else f"✗ {name}: {worked}, but is not sound"
    return f"✗ {name}: {'the golden task failed' if trial.went == 'wrong' else 'the golden task is pointless'}"


def _paragraph(finding: Finding, indent: str = "  ") -> Iterator[str]:
    yield f"{indent}{MARKS[finding.severity]} {finding.what}"
    for sentence in filter(None, (finding.why, finding.what_to_do)):
        yield f"{indent}    {sentence}"


def _sentence(report: Report) -> str:
    broken = [f"venv/{examination.environment}" for examination in report.environments if not examination.healthy]
    broken += ["this machine"] if any(finding.severity == "error" for finding in report.findings) else []
    return f"Something is wrong with {' and '.join(broken)}."


def _hint(report: Report) -> str:
    everything = [*report.findings, *(each for one in report.environments for each in one.findings)]
    if any(finding.fixable for finding in everything):
        return "Run `stemscribe doctor --fix` with the same options to mend what can be mended."
    return "What to do is told with each finding."
