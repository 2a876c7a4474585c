"""`stemscribe convert`: a transcript, or subtitles that were corrected by hand, in another form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stemscribe.cli import console
from stemscribe.errors import UsageError

if TYPE_CHECKING:
    from stemscribe.subtitles.forms import Form

_FORMS = (".srt", ".vtt", ".txt", ".json")


@click.command("convert")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="What to write; its ending says which form: .srt, .vtt, .txt or .json.",
)
@click.option("-s", "--source-language", default="", help="What is spoken, e.g. hi; subtitles do not say it.")
@click.option("--force", is_flag=True, help="Replace the output if it is there.")
def command(source: Path, target: Path, source_language: str, force: bool) -> None:
    """Write FILE, a transcript.json, an .srt or a .vtt, in another form.

    Subtitles keep their times and lines, and lose their styles. From a transcript.json they are made anew.
    """
    from stemscribe.records import replacing

    _check(source, target, force=force)
    with console.display():
        content = _content(source, target, source_language)
        with replacing(target) as temporary:
            temporary.write_bytes(content)
    console.answer(console.relative(target))


def _content(source: Path, target: Path, language: str) -> bytes:
    """What to write."""
    from stemscribe.subtitles.forms import in_form
    from stemscribe.subtitles.reading import SUBTITLES, read_cues, read_transcript, transcript_of

    form: Form = target.suffix.lower()[1:]  # type: ignore[assignment] # `_check` has seen to it
    if source.suffix.lower() in SUBTITLES:
        cues = read_cues(source)
        return in_form(form, transcript_of(cues, language), str(source), cues)
    return in_form(form, read_transcript(source, language), str(source))


def _check(source: Path, target: Path, *, force: bool) -> None:
    """Refuse a target that cannot be meant.

    Raises:
        UsageError: its ending says nothing, or it would replace what is there.
    """
    if target.suffix.lower() not in _FORMS:
        raise UsageError(f"The ending of {target} is none of {', '.join(_FORMS)}.", hint="It says what to write.")
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{target} is the file that is to be read.", hint="Give another name for what is written.")
    if target.exists() and not force:
        raise UsageError(f"{target} is there already.", hint="Give another name, or --force to replace it.")
