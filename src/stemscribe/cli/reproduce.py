"""`stemscribe reproduce`: make a job's results again, and compare."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from stemscribe.cli import console
from stemscribe.cli.context import memory_option, place_options, settings, store
from stemscribe.errors import NotAsRecorded


@click.command("reproduce")
@click.argument("job_id", metavar="JOB")
@click.option("--into", type=click.Path(path_type=Path), help="Make it in this folder, and leave it there.")
@click.option("--media", type=click.Path(path_type=Path), help="Where the film is now, if it was moved.")
@click.option("--json", "as_json", is_flag=True, help="Events and results on stdout, one JSON object a line.")
@memory_option
@place_options
def command(
    job_id: str,
    into: Path | None,
    media: Path | None,
    as_json: bool,
    max_ram: str | None,
    out_dir: Path | None,
    models_dir: Path | None,
    offline: bool | None,
) -> None:
    """Run a job's request again from its film on, and compare what comes out, byte for byte.

    What is made again goes when it is the same, and stays to be looked at when it is not.
    """
    from stemscribe.jobs.folder import find
    from stemscribe.pipeline.reproduction import PLACE, reproduce
    from stemscribe.pipeline.runner import Rules

    chosen = settings(out_dir=out_dir, models_dir=models_dir, offline=offline, max_ram=max_ram)
    folder = find(chosen.out_dir, job_id)
    film = media or Path(folder.job.media)
    place = into or chosen.out_dir / PLACE
    with console.display(as_json=as_json) as shown:
        rules = Rules(max_memory=chosen.max_ram)
        results = reproduce(folder, film, place, store(chosen, shown), chosen.venv_dir, rules, shown.show)
    for result in results:
        if as_json:
            console.answer_json_line(result)
        else:
            console.answer(f"{'✓' if result.same else '✗'} {result.path} {result.difference or 'is the same'}")
    different = [result.path for result in results if not result.same]
    made = place / folder.path.name
    if different:
        raise NotAsRecorded(
            f"{len(different)} of {len(results)} files came out differently: {', '.join(different)}.",
            hint=f"What was made again is in {console.relative(made)}. Another processor or another version of a"
            " package gives other last bits; `stemscribe verify` tells whether an environment has changed.",
        )
    if into is None:
        shutil.rmtree(made, ignore_errors=True)
