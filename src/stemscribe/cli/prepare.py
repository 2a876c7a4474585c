"""`stemscribe prepare`: make a job without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stemscribe.cli import console
from stemscribe.cli.context import job_options, place_options, request, settings


@click.command("prepare")
@click.option("--media", required=True, type=click.Path(path_type=Path), help="Film, video or audio file.")
@click.option(
    "--workflow", default="transcribe", show_default=True, help="separate, transcribe, translate or subtitle."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@job_options
@place_options
def command(
    media: Path,
    workflow: str,
    as_json: bool,
    out_dir: Path | None,
    models_dir: Path | None,
    offline: bool | None,
    **flags: Any,
) -> None:
    """Make a job: check the film and the request, and print the job's id."""
    from stemscribe.jobs.folder import create
    from stemscribe.models.spec import load_catalog
    from stemscribe.pipeline.prepare import checked

    chosen = settings(out_dir=out_dir, models_dir=models_dir, offline=offline)
    folder = create(
        chosen.out_dir, checked(request(media, workflow, flags), load_catalog(chosen.catalog), chosen.venv_dir)
    )
    if as_json:
        console.answer_json(folder.job)
    else:
        console.answer(f"Job created: {folder.path.name}")
