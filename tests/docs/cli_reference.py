"""Writes docs/reference/cli.md from the commands themselves: `python tests/docs/cli_reference.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from stemscribe.cli.app import stemscribe

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
HEADING = """# The command line

`./prepare-job.sh` is `stemscribe prepare`, `./run-pipeline.sh` is `stemscribe run`; both make `venv/core` first if
need be. Talk goes to stderr, answers (ids, paths, JSON) to stdout. Exit codes: 0 done, 1 the job failed, 2 wrong
usage, 130 interrupted.

Written by `python tests/docs/cli_reference.py`.
"""


def page() -> str:
    """The whole page."""
    sections = (f"\n## {path}\n\n```\n{text}\n```\n" for path, text in _helps(stemscribe, "stemscribe", None))
    return HEADING + "".join(sections)


def _helps(command: click.Command, path: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    name = path.rpartition(" ")[2]
    with click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100) as context:
        yield path, command.get_help(context).rstrip()
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                assert found is not None
                yield from _helps(found, f"{path} {child}", context)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
