"""What every command shares: settings from flags and environment, the model store, and the options of a job."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stemscribe.cli import console
from stemscribe.settings import Settings, resolve
from stemscribe.timebase import parse_clock
from stemscribe.wording import parse_share

if TYPE_CHECKING:
    from stemscribe.models.store import ModelStore
    from stemscribe.pipeline.prepare import Request

Function = TypeVar("Function", bound=Callable[..., Any])
PROJECT = Path(__file__).resolve().parents[3]  # environments belong to the project, wherever it is called from
ROOT_VARIABLE = "STEMSCRIBE_ROOT"  # set by the scripts in the project's folder


class Clock(click.ParamType):  # type: ignore[type-arg] # generic in some releases of click, not in others
    """A point on the film's clock."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_clock(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time: give seconds (90.5), or 1:30, or 0:01:30.5.", param, ctx)


class Share(click.ParamType):  # type: ignore[type-arg] # as above
    """A share of a whole."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_share(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a share: give a number up to 1 (0.9), or per cent (90%).", param, ctx)


def place_options(function: Function) -> Function:
    """Flags for where things live."""
    for option in (
        click.option("--offline", is_flag=True, default=None, help="Open no network connection."),
        click.option("--models-dir", type=click.Path(path_type=Path), help="Folder of models."),
        click.option("--out-dir", type=click.Path(path_type=Path), help="Folder of job folders [default: out]."),
    ):
        function = option(function)
    return function


def memory_option(function: Function) -> Function:
    """The flag for what a job may take."""
    return click.option(
        "--max-ram", metavar="SIZE", help="Take no more memory than this, e.g. 2G or 1500M; refuse what needs more."
    )(function)


def job_options(function: Function) -> Function:
    """Flags that say what a job is to do."""
    for option in reversed(
        (
            click.option("-s", "--source-language", default="auto", show_default=True, help="What is spoken, e.g. hi."),
            click.option("--model", default="whisper-base", show_default=True, help="Speech recognition model."),
            click.option(
                "--asr-audio",
                type=click.Choice(["auto", "mix", "vocals", "blend"]),
                default="auto",
                show_default=True,
                help="What speech recognition hears; auto: what it understands best, span by span.",
            ),
            click.option(
                "--script",
                type=click.Choice(["native", "latin", "any"]),
                default="native",
                show_default=True,
                help="Letters to write in; any: as they come, for speech that mixes languages.",
            ),
            click.option(
                "--container",
                type=click.Choice(["auto", "mkv", "mp4"]),
                default="auto",
                show_default=True,
                help="Of the film with subtitles; auto: its own, or mkv.",
            ),
            *film_options(),
            *stem_options(),
        )
    ):
        function = option(function)
    return function


def film_options() -> tuple[Callable[[Function], Function], ...]:
    return (
        click.option("--audio-track", default="", metavar="N|LANG", help="Audio track: number (from 0) or language."),
        click.option("--start-time", type=Clock(), default=0.0, help="Begin at this point of the film, e.g. 1:30."),
        click.option("--end-time", type=Clock(), help="Stop at this point of the film."),
    )


def stem_options() -> tuple[Callable[[Function], Function], ...]:
    return (
        click.option(
            "--stems",
            type=click.Choice(["two", "four", "six"]),
            default="two",
            show_default=True,
            help="two: vocals and accompaniment; four: drums, bass, other and vocals; six: guitar and piano too.",
        ),
        click.option("--stem-format", type=click.Choice(["wav", "flac", "mp3"]), default="wav", show_default=True),
        click.option(
            "--stem-subtype", type=click.Choice(["pcm16", "pcm24", "float"]), default="pcm16", show_default=True
        ),
        click.option(
            "--clip-mode",
            type=click.Choice(["rescale", "clamp", "none"]),
            default="rescale",
            show_default=True,
            help="What is done about a stem that exceeds full scale.",
        ),
        click.option(
            "--engine",
            type=click.Choice(["auto", "onnx", "torch"]),
            default="auto",
            show_default=True,
            help="What separates; auto: torch on a GPU that works, else onnx.",
        ),
        click.option(
            "--separation-model",
            default="htdemucs",
            show_default=True,
            help="A Demucs model, or spleeter.",
        ),
        click.option(
            "--gate",
            type=click.Choice(["auto", "off"]),
            default="auto",
            show_default=True,
            help="auto: leave out windows without a voice, and those with nothing else; off: separate all (two stems).",
        ),
        click.option(
            "--quality",
            type=click.Choice(["auto", "exact", "balanced", "fast"]),
            default="auto",
            show_default=True,
            help="How much windows overlap; exact: as in Demucs; auto: as in stems that are there already, else exact,"
            " or fast for a transcript.",
        ),
        click.option(
            "--device", type=click.Choice(["auto", "cpu", "cuda", "mps", "coreml"]), default="auto", show_default=True
        ),
        click.option("--threads", type=click.IntRange(0), default=0, help="For models on a CPU; 0: as they like."),
    )


def settings(**flags: Any) -> Settings:
    """The settings of this invocation."""
    from platformdirs import user_cache_path

    # As short as it can be said from here, since the paths in the log are made from it.
    root = Path(console.relative(Path(os.environ.get(ROOT_VARIABLE) or ".").absolute()))
    models_dir = user_cache_path("stemscribe") / "models"
    return resolve(flags, os.environ, root=root, models_dir=models_dir, venv_dir=PROJECT / "venv")


def store(chosen: Settings, shown: console.Display | None = None) -> ModelStore:
    """The model store of this invocation."""
    from stemscribe.models.spec import load_catalog
    from stemscribe.models.store import ModelStore

    return ModelStore(
        chosen.models_dir,
        load_catalog(chosen.catalog),
        offline=chosen.offline,
        hub_endpoint=chosen.hub_endpoint,
        announce=console.say,
        progress=shown.fetched if shown else None,
    )


def request(media: Path, workflow: str, flags: dict[str, Any]) -> Request:
    """What was asked for, from the flags of `job_options`."""
    from stemscribe.jobs.job import Options
    from stemscribe.pipeline.prepare import Request

    names = {field.name for field in fields(Options)}
    options = Options(**{name: value for name, value in flags.items() if name in names})
    return Request(media, workflow, flags.get("source_language", "auto"), options)
