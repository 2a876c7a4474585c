"""`stemscribe run`: run a job, or resume it; with `--media`, prepare it first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stemscribe.cli import console
from stemscribe.cli.context import Share, job_options, memory_option, place_options, request, settings, store

_STEMS = ("vocals", "accompaniment", "drums", "bass", "other")
_ANSWERS = (*_STEMS, "srt", "text", "translation_srt", "translation_text", "subtitled")  # what people come for


@click.command("run")
@click.option("-j", "--job", "job_id", metavar="JOB", help="Run or resume this job (its id, or its folder).")
@click.option("--media", type=click.Path(path_type=Path), help="Prepare a job for this film, then run it.")
@click.option(
    "--workflow",
    default="transcribe",
    show_default=True,
    help="With --media: separate, transcribe, translate or subtitle.",
)
@click.option("--new", is_flag=True, help="With --media: a new job, even if there is one for the same request.")
@click.option(
    "--rehearse", "only_rehearse", is_flag=True, help="Only find out whether it will work, and what it needs."
)
@click.option("--force", is_flag=True, help="Run it even if its rehearsal fails, or it will not fit.")
@click.option("--live", is_flag=True, help="Meanwhile show what is recognised already, in the job's live.srt.")
@click.option("--no-cache", is_flag=True, help="Take nothing over from other jobs.")
@click.option(
    "--min-coverage",
    type=Share(),
    help="End with exit code 1 when less of the voices is accounted for, e.g. 0.9 or 90%; all is written nevertheless.",
)
@click.option("--json", "as_json", is_flag=True, help="Events on stdout, one JSON object a line.")
@job_options
@memory_option
@place_options
def command(
    job_id: str | None,
    media: Path | None,
    workflow: str,
    new: bool,
    only_rehearse: bool,
    force: bool,
    live: bool,
    no_cache: bool,
    min_coverage: float | None,
    as_json: bool,
    max_ram: str | None,
    out_dir: Path | None,
    models_dir: Path | None,
    offline: bool | None,
    **flags: Any,
) -> None:
    """Run a job, or resume it from where it was stopped; with --media, prepare it first.

    The same command for the same film goes on with the same job.
    """
    if (job_id is None) == (media is None):
        raise click.UsageError("Give either a job (-j) or a film (--media).")
    if job_id is not None and (given := _given("workflow", "new", *flags)):
        raise click.UsageError(f"A job is as it was prepared: {', '.join(given)} cannot be changed. Prepare a new one.")
    from stemscribe.jobs.folder import create, find
    from stemscribe.pipeline.prepare import checked, latest_or_new
    from stemscribe.pipeline.runner import Rules, rehearse, run
    from stemscribe.pipeline.status import LEDGER, check_coverage

    chosen = settings(out_dir=out_dir, models_dir=models_dir, offline=offline, max_ram=max_ram)
    with console.display(as_json=as_json) as shown:
        models = store(chosen, shown)
        if media is None:
            folder = find(chosen.out_dir, str(job_id))
            _check_accountable(folder.job.workflow, min_coverage, live=live)
        else:
            _check_accountable(workflow, min_coverage, live=live)
            job = checked(request(media, workflow, flags), models.catalog, chosen.venv_dir)
            folder, made = (create(chosen.out_dir, job), True) if new else latest_or_new(chosen.out_dir, job)
            console.say(f"Job created: {folder.path.name}" if made else f"Going on with {folder.path.name}")
        rules = Rules(force=force, reuse=not no_cache, max_memory=chosen.max_ram, live=live)
        if only_rehearse:
            answers = [f"{folder.path.name} will work: {rehearse(folder, models, chosen.venv_dir, shown.show, rules)}"]
        else:
            artefacts = run(folder, models, chosen.venv_dir, shown.show, rules).artefacts
            answers = [console.relative(artefacts[name]) for name in _ANSWERS if name in artefacts]
    if not as_json:
        console.answer("\n".join(answers))
    if min_coverage is not None and not only_rehearse:
        check_coverage(artefacts[LEDGER], min_coverage)


def _check_accountable(workflow: str, min_coverage: float | None, *, live: bool) -> None:
    """Refuse to judge a job by a transcript that it does not make, or to show one."""
    from stemscribe.pipeline.status import LEDGER
    from stemscribe.pipeline.workflows import workflow_named

    if workflow_named(workflow).makes(LEDGER):
        return
    if min_coverage is not None:
        raise click.UsageError(f"Workflow {workflow} makes no transcript: --min-coverage has nothing to measure.")
    if live:
        raise click.UsageError(f"Workflow {workflow} makes no transcript: --live has nothing to show.")


def _given(*names: str) -> list[str]:
    """Which of these options were given on the command line, as the user writes them."""
    context = click.get_current_context()
    given = (name for name in names if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE)
    return [f"--{name.replace('_', '-')}" for name in given]
