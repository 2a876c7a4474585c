"""`stemscribe separate`: stems of one file or many, without a word about jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stemscribe.cli import console
from stemscribe.cli.context import film_options, memory_option, place_options, request, settings, stem_options, store
from stemscribe.errors import UsageError


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed((*film_options(), *stem_options())):
        function = option(function)
    return function


@click.command("separate")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", "target", required=True, type=click.Path(path_type=Path), help="Where the stems go.")
@click.option("--no-cache", is_flag=True, help="Take nothing over from other jobs.")
@_options
@memory_option
@place_options
def command(
    files: tuple[Path, ...],
    target: Path,
    no_cache: bool,
    max_ram: str | None,
    out_dir: Path | None,
    models_dir: Path | None,
    offline: bool | None,
    **flags: Any,
) -> None:
    """Separate FILES; the stems of film.mkv are put into DIR/film/.

    Each file is a job like any other: interrupted, the same command goes on.
    """
    from stemscribe.pipeline.prepare import checked, latest_or_new
    from stemscribe.pipeline.runner import Rules, run

    targets = _targets(files, target)
    chosen = settings(out_dir=out_dir, models_dir=models_dir, offline=offline, max_ram=max_ram)
    with console.display() as shown:
        models = store(chosen, shown)
        rules = Rules(reuse=not no_cache, max_memory=chosen.max_ram)
        # All of them are checked before the first is separated.
        jobs = [checked(request(file, "separate", flags), models.catalog, chosen.venv_dir) for file in files]
        for job, place in zip(jobs, targets, strict=True):
            folder, _ = latest_or_new(chosen.out_dir, job)
            outcome = run(folder, models, chosen.venv_dir, shown.show, rules)
            for path in outcome.hand_out("source_separation", place):
                console.answer(console.relative(path))


def _targets(files: tuple[Path, ...], target: Path) -> list[Path]:
    """The folder for the stems of each file.

    Raises:
        UsageError: two files would share one.
    """
    places: dict[str, Path] = {}
    for file in files:
        name = file.stem.rstrip(". ") or file.name
        other = places.setdefault(name.casefold(), file)
        if other is not file:
            raise UsageError(
                f"The stems of {other} and {file} would both go to {target / name}.",
                hint="Separate them one by one, with another -o for each.",
            )
    return [target / (file.stem.rstrip(". ") or file.name) for file in files]
