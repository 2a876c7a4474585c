"""`stemscribe models`: which models there are, and whether they are whole."""

from __future__ import annotations

from pathlib import Path

import click

from stemscribe.cli import console
from stemscribe.cli.context import place_options, settings, store
from stemscribe.errors import VerificationError


@click.group("models")
def command() -> None:
    """List, fetch and verify models."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@place_options
def list_models(as_json: bool, out_dir: Path | None, models_dir: Path | None, offline: bool | None) -> None:
    """Show every model with its size, its licence and whether it is there."""
    models = store(settings(out_dir=out_dir, models_dir=models_dir, offline=offline))
    if as_json:
        rows = [
            {"name": name, "present": models.present(name), "bytes": spec.size, "engine": spec.engine}
            | {"license": spec.license, "license_url": spec.license_url, "license_note": spec.license_note}
            | {"verified": spec.verified, "description": spec.description}
            for name, spec in models.catalog.items()
        ]
        console.answer_json(rows)
        return
    for name, spec in models.catalog.items():
        state = "present" if models.present(name) else "not fetched"
        marks = "" if spec.verified else "  (hashes as published, not verified by us)"
        console.answer(f"{name:<24} {spec.size / 1e6:>7.0f} MB  {state:<12} {spec.license}{marks}")
        console.answer(f"{'':<24} {spec.description}")
        if spec.license_note:
            console.answer(f"{'':<24} {spec.license_note}")


@command.command("fetch")
@click.argument("names", nargs=-1, required=True)
@place_options
def fetch_models(names: tuple[str, ...], out_dir: Path | None, models_dir: Path | None, offline: bool | None) -> None:
    """Fetch models by NAME, and print their folders."""
    chosen = settings(out_dir=out_dir, models_dir=models_dir, offline=offline)
    with console.display() as shown:
        models = store(chosen, shown)
        for name in names:
            console.answer(str(models.fetch(name)))


@command.command("verify")
@click.argument("names", nargs=-1)
@place_options
def verify_models(names: tuple[str, ...], out_dir: Path | None, models_dir: Path | None, offline: bool | None) -> None:
    """Hash the files of models by NAME, or of all that are there, and compare them with the catalog."""
    models = store(settings(out_dir=out_dir, models_dir=models_dir, offline=offline))
    damaged = []
    for name in names or [name for name in models.catalog if models.folder(name).is_dir()]:
        for check in models.verify(name):
            console.answer(f"{'ok     ' if check.whole else 'DAMAGED'}  {name}/{check.file}")
            damaged += [] if check.whole else [name]
    if damaged:
        raise VerificationError(
            f"{len(damaged)} files are missing or are not what the catalog says.",
            hint=f"Run stemscribe models fetch {' '.join(dict.fromkeys(damaged))}.",
        )
