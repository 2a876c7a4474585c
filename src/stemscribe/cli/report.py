"""`stemscribe report`: a job on one page, to hand to somebody else."""

from __future__ import annotations

from pathlib import Path

import click

from stemscribe.cli import console
from stemscribe.cli.context import place_options, settings


@click.command("report")
@click.argument("job_id", metavar="JOB")
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), help="File to write [report.html in the job]."
)
@place_options
def command(
    job_id: str, target: Path | None, out_dir: Path | None, models_dir: Path | None, offline: bool | None
) -> None:
    """Write what there is to see of JOB as one page: waveforms, what became of every voice, doubts, and receipts."""
    from stemscribe.jobs.folder import find
    from stemscribe.records import replacing
    from stemscribe.studio.report import report
    from stemscribe.studio.workspace import Workspace

    chosen = settings(out_dir=out_dir, models_dir=models_dir, offline=offline)
    folder = find(chosen.out_dir, job_id)
    place = settings(out_dir=folder.path.parent, models_dir=models_dir, offline=offline)
    page = report(Workspace(place, ()), folder.path.name)
    target = target or folder.path / "report.html"
    with replacing(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    console.answer(console.relative(target))
