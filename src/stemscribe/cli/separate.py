"""`stemscribe separate`: stems of one file or many, without a word about jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stemscribe.cli import console
from stemscribe.cli.context import film_options, place_options, request, settings, stem_options, store


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed((*film_options(), *stem_options())):
        function = option(function)
    return function


@click.command("separate")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", "target", required=True, type=click.Path(path_type=Path), help="Where the stems go.")
@_options
@place_options
def command(
    files: tuple[Path, ...],
    target: Path,
    out_dir: Path | None,
    models_dir: Path | None,
    offline: bool | None,
    **flags: Any,
) -> None:
    """Separate FILES; the stems of film.mkv are put into DIR/film/.

    Each file is a job like any other: interrupted, the same command goes on.
    """
    from stemscribe.pipeline.prepare import checked, prepare_or_continue
    from stemscribe.pipeline.runner import run

    chosen = settings(out_dir=out_dir, models_dir=models_dir, offline=offline)
    with console.display() as shown:
        models = store(chosen, shown)
        requests = [request(file, "separate", flags) for file in files]
        for wanted in requests:
            checked(wanted, models.catalog)  # all of them before the first is separated
        for wanted in requests:
            folder, _ = prepare_or_continue(chosen.out_dir, wanted, models.catalog)
            outcome = run(folder, models, shown.show)
            for path in outcome.hand_out("source_separation", target / wanted.media.stem):
                console.answer(console.relative(path))
