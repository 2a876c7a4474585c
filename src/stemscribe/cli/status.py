"""`stemscribe status`: what jobs there are, and how far one has come."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stemscribe.cli import console
from stemscribe.cli.context import place_options, settings
from stemscribe.timebase import clock
from stemscribe.wording import legible, percent

if TYPE_CHECKING:
    from stemscribe.speech.ledger import Ledger

_GAPS_SHOWN = 20


@click.command("status")
@click.argument("job_id", metavar="[JOB]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@place_options
def command(
    job_id: str | None, as_json: bool, out_dir: Path | None, models_dir: Path | None, offline: bool | None
) -> None:
    """Show one job, stage by stage, or all jobs, a line each."""
    from stemscribe.jobs.folder import all_jobs, find
    from stemscribe.pipeline.status import detailed_status_of, status_of

    chosen = settings(out_dir=out_dir, models_dir=models_dir, offline=offline)
    if job_id is not None:
        status = detailed_status_of(find(chosen.out_dir, job_id))
        if as_json:
            console.answer_json(status)
            return
        console.answer(f"{status.job}  {status.state}  {status.workflow} of {legible(status.media)}")
        for stage in status.stages:
            console.answer(
                f"  {stage.name:<18} {stage.status:<12} {stage.seconds:>9.1f}s  {legible(stage.error)}".rstrip()
            )
        if status.ledger is not None:
            _show(status.ledger)
        return
    everything = [status_of(folder) for folder in all_jobs(chosen.out_dir)]
    if as_json:
        console.answer_json(everything)
        return
    for status in everything:
        console.answer(f"{status.job}  {status.state:<12} {status.workflow} of {legible(status.media)}")
    if not everything:
        console.answer(f"There are no jobs in {console.relative(chosen.out_dir)}.")


def _show(ledger: Ledger) -> None:
    """What the transcript accounts for, and every place where somebody should listen, unless there are many."""
    console.answer(f"  voices             {ledger.voiced_seconds:>8.1f}s  {percent(ledger.coverage)} are accounted for")
    console.answer(f"    transcribed      {ledger.transcribed_seconds:>8.1f}s")
    console.answer(f"    not speech       {ledger.not_speech_seconds:>8.1f}s")
    console.answer(f"    gaps             {ledger.gap_seconds:>8.1f}s  {ledger.gaps or 'none'}")
    for gap in ledger.entries[:_GAPS_SHOWN]:
        console.answer(f"      {clock(gap.start)} to {clock(gap.end)}  {legible(gap.evidence)}")
    if ledger.gaps > _GAPS_SHOWN:
        console.answer(f"      and {ledger.gaps - _GAPS_SHOWN} more")
    if ledger.doubtful_words:
        console.answer(f"  doubtful words     {ledger.doubtful_words:>8}   where no voice was found")
