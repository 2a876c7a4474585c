"""The only place that prints: talk to stderr, answers to stdout.

On a terminal progress is a bar that the log lines scroll past; elsewhere it is a line every ten seconds; with
`--json` it is events, one JSON object a line, on stdout.
"""

from __future__ import annotations

import logging
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stemscribe.errors import StemscribeError
from stemscribe.wording import LegibleFormatter, legible, legible_lines

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from stemscribe.models.store import FetchProgress
    from stemscribe.pipeline.reporter import Event
    from stemscribe.pipeline.stage import Progress

_LINE_EVERY = 10.0
_FORMAT = "[%(levelname)s] %(message)s"
_TALK = "stemscribe"
_WIDEST = 10_000


def answer(text: str) -> None:
    """What was asked for: as it is for a program, and for a terminal so that it cannot be driven by a name in it."""
    print(_on_terminal(text) if sys.stdout.isatty() else text, flush=True)


def _on_terminal(text: str) -> str:
    return "\n".join(map(legible, text.split("\n")))


def answer_json(record: object) -> None:
    """What was asked for, for a program."""
    import msgspec

    answer(msgspec.json.format(msgspec.json.encode(record), indent=2).decode())


def answer_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, names: int = 1) -> None:
    """What was asked for, in columns: the first ones have names, at their left, the others figures, at their right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number < names else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(legible(cell)) for cell in row))
    # Beside a terminal nothing is folded: a program reads a line a row.
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDEST, highlight=False)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()), flush=True)


def answer_json_line(record: object) -> None:
    """One of many answers, for a program: an object a line."""
    import msgspec

    answer(msgspec.json.encode(record).decode())


def say(text: str) -> None:
    """Talk."""
    logging.getLogger(_TALK).info(text)


def failed(error: StemscribeError) -> None:
    """Why it did not work, and what to do."""
    print(f"[ERROR] {legible_lines(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"        {legible_lines(error.hint)}", file=sys.stderr)


def interrupted() -> None:
    print("[WARNING] Interrupted. Nothing is lost: run the same command again to go on.", file=sys.stderr)


def broken(error: Exception) -> None:
    """An error nobody foresaw: its traceback goes to a file."""
    with tempfile.NamedTemporaryFile("w", prefix="stemscribe-", suffix=".log", delete=False, encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    what = legible_lines(f"{type(error).__name__}: {error}")
    print(f"[ERROR] stemscribe itself is at fault here: {what}", file=sys.stderr)
    print(f"        Please report it with {file.name}.", file=sys.stderr)


def damaged(text: str) -> None:
    """That a package cannot be imported, in the words of `entry.damage`."""
    print(text, file=sys.stderr)


def relative(path: Path) -> str:
    """A path as short as it can be said from here."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


class Display(Protocol):
    """How progress is shown."""

    def show(self, event: Event) -> None: ...

    def fetched(self, progress: FetchProgress) -> None: ...


@contextmanager
def display(*, as_json: bool = False, brief: bool = False) -> Iterator[Display]:
    """Show log lines, and progress in the way that suits where they go, for the time of the block.

    Args:
        as_json: events for a program take the place of progress.
        brief: of the log, only warnings, and what a command says itself: there are many jobs.
    """
    if sys.stderr.isatty() and not as_json:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"))
        with Progress(*columns, console=console, transient=True) as bars, _logging(_BarHandler(console), brief=brief):
            yield _BarDisplay(bars)
    else:
        with _logging(logging.StreamHandler(sys.stderr), brief=brief):
            yield _JsonDisplay() if as_json else _LineDisplay()


@contextmanager
def _logging(handler: logging.Handler, *, brief: bool = False) -> Iterator[None]:
    handler.setFormatter(LegibleFormatter(_FORMAT))
    if brief:
        handler.addFilter(lambda record: record.name == _TALK or record.levelno >= logging.WARNING)
    handler.setLevel(logging.INFO)
    logger = logging.getLogger(_TALK)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logging.raiseExceptions = False  # a log file on a full disk is no reason to fill the terminal with tracebacks
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _BarHandler(logging.Handler):
    """Prints log lines above the bars."""

    def __init__(self, console: object) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)  # type: ignore[attr-defined]


class _Pace:
    """Speed and time left of what a stage is at, from its first report on: if resumed, it does not begin at nothing."""

    def __init__(self) -> None:
        self._stage = ""
        self._began = 0.0
        self._first: Progress | None = None

    def facts(self, stage: str, progress: Progress) -> str:
        """For example `window 12 of 40, 2.1x, 1:23 left`."""
        if stage != self._stage or self._first is None or progress.unit != self._first.unit:
            self._stage, self._first, self._began = stage, progress, time.monotonic()
        parts = [_position(progress)]
        seconds = time.monotonic() - self._began
        done = progress.done - self._first.done
        if done > 0 and seconds > 0:
            parts.append(f"{(progress.film - self._first.film) / seconds:.1f}x")
            if progress.total > progress.done:
                parts.append(f"{_duration((progress.total - progress.done) * seconds / done)} left")
        return ", ".join(parts)


def _position(progress: Progress) -> str:
    if progress.unit == "s":
        return f"{progress.done / progress.total:.0%}" if progress.total else _duration(progress.film)
    return f"{progress.unit.removesuffix('s')} {progress.done:.0f} of {progress.total:.0f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _fetch_facts(progress: FetchProgress) -> str:
    total = f" of {progress.total / 1e6:.0f}" if progress.total else ""
    return f"{progress.done / 1e6:.0f}{total} MB"


class _BarDisplay:
    """Bars on a terminal."""

    def __init__(self, bars: Bars) -> None:
        self._bars, self._pace = bars, _Pace()
        self._tasks: dict[str, TaskID] = {}

    def show(self, event: Event) -> None:
        from stemscribe.pipeline.reporter import StageProgressed

        if isinstance(event, StageProgressed):
            progress = event.progress
            self._update(event.stage, progress.done, progress.total, self._pace.facts(event.stage, progress))
        else:
            self._clear()

    def fetched(self, progress: FetchProgress) -> None:
        name = f"{progress.model}/{progress.file}"
        self._update(name, progress.done, progress.total, _fetch_facts(progress))
        if progress.done == progress.total:
            self._clear()

    def _update(self, name: str, done: float, total: float | None, facts: str) -> None:
        if name not in self._tasks:
            self._clear()
            self._tasks[name] = self._bars.add_task(name, total=total or None, facts="")
        self._bars.update(self._tasks[name], completed=done, total=total or None, facts=facts)

    def _clear(self) -> None:
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks.clear()


class _LineDisplay:
    """A line every ten seconds, where there is no terminal."""

    def __init__(self) -> None:
        self._pace, self._last = _Pace(), time.monotonic()

    def show(self, event: Event) -> None:
        from stemscribe.pipeline.reporter import StageProgressed

        if isinstance(event, StageProgressed):
            facts = self._pace.facts(event.stage, event.progress)
            self._line(f"{event.stage}: {facts}")

    def fetched(self, progress: FetchProgress) -> None:
        self._line(f"fetching {progress.model}/{progress.file}: {_fetch_facts(progress)}")

    def _line(self, text: str) -> None:
        if time.monotonic() - self._last >= _LINE_EVERY:
            self._last = time.monotonic()
            print(f"[INFO] {text}", file=sys.stderr, flush=True)


class _JsonDisplay:
    """Events for a program: `{"event": "stage_completed", …}`, one a line, on stdout."""

    def show(self, event: Event) -> None:
        import msgspec

        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
        answer(msgspec.json.encode({"event": name, **msgspec.to_builtins(event)}).decode())

    def fetched(self, progress: FetchProgress) -> None:
        import msgspec

        answer(msgspec.json.encode({"event": "fetching", **msgspec.to_builtins(progress)}).decode())
