"""`stemscribe verify`: is a job what it says it is?"""

from __future__ import annotations

from pathlib import Path

import click

from stemscribe.cli import console
from stemscribe.cli.context import place_options, settings, store
from stemscribe.wording import legible


@click.command("verify")
@click.argument("job_id", metavar="JOB")
@click.option("--deep", is_flag=True, help="Separate one random window again too, and compare it with the stems.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@place_options
def command(
    job_id: str,
    deep: bool,
    as_json: bool,
    out_dir: Path | None,
    models_dir: Path | None,
    offline: bool | None,
) -> None:
    """Check every file, fingerprint and model of a job against its receipts.

    It ends with exit code 1 at the first thing that is not as it was recorded.
    """
    from stemscribe.jobs.folder import find
    from stemscribe.pipeline.verification import verify

    chosen = settings(out_dir=out_dir, models_dir=models_dir, offline=offline)
    folder = find(chosen.out_dir, job_id)
    unknown = 0
    for checked in verify(folder, store(chosen), chosen.venv_dir, deep=deep):
        unknown += not checked.known
        if as_json:
            console.answer_json_line(checked)
        else:
            console.answer(f"{'✓' if checked.known else '?'} {legible(checked.subject)} {checked.found}")
    if not as_json:
        rest = f"; {unknown} could not be told here" if unknown else ""
        console.answer(f"{folder.path.name} is what its receipts say{rest}.")
