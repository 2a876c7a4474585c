"""`stemscribe studio`: jobs in the browser."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from stemscribe.cli import console
from stemscribe.cli.context import place_options, settings


@click.command("studio")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others can then reach it.")
@place_options
def command(port: int, host: str, out_dir: Path | None, models_dir: Path | None, offline: bool | None) -> None:
    """Watch jobs, hear their stems, and read and mend their transcripts in the browser.

    Prints the address to open; its token lets nobody else in. Jobs go on when the browser is closed.
    """
    from stemscribe.studio.guard import new_token
    from stemscribe.studio.server import serve
    from stemscribe.studio.workspace import Workspace

    chosen = settings(out_dir=out_dir, models_dir=models_dir, offline=offline)
    stemscribe = [sys.executable, "-m", "stemscribe.cli.entry"]
    with console.display():
        try:
            serve(Workspace(chosen, stemscribe), new_token(), host, port, console.answer)
        except KeyboardInterrupt:
            console.say("The studio is closed; jobs that run go on.")
