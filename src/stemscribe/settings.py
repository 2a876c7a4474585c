"""Where things live and how far to reach out: flags over environment over file over defaults, resolved once.

The front door calls `resolve` and hands the result down; nothing below reads the environment or looks for files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from stemscribe.errors import UsageError
from stemscribe.toml import parse_toml
from stemscribe.wording import parse_size

SETTINGS_FILE = "stemscribe.toml"
PREFIX = "STEMSCRIBE_"


@dataclass(frozen=True)
class Settings:
    """The settings of one invocation.

    Attributes:
        out_dir: the folder that holds the job folders.
        models_dir: the folder that holds fetched models.
        venv_dir: the folder that holds the virtual environments.
        offline: whether opening a socket is forbidden.
        hub_endpoint: the base address of the model hub, for those who use a mirror.
        catalog: a file with models of the user's own, beside the built-in ones.
        max_ram: the most memory, in bytes, that a job may take; `None` for as much as there is.
    """

    out_dir: Path
    models_dir: Path
    venv_dir: Path
    offline: bool = False
    hub_endpoint: str = "https://huggingface.co"
    catalog: Path | None = None
    max_ram: int | None = None


def resolve(
    flags: Mapping[str, Any], environ: Mapping[str, str], *, root: Path, models_dir: Path, venv_dir: Path
) -> Settings:
    """The settings that hold: a flag wins over `STEMSCRIBE_…`, that over `stemscribe.toml`, that over the default.

    Args:
        flags: values from the command line by setting name; `None` counts as not given.
        environ: the process's environment.
        root: the project's folder, where `stemscribe.toml` and `out/` are.
        models_dir: the default folder for models.
        venv_dir: the default folder for virtual environments.

    Raises:
        UsageError: the file or a value in it cannot be understood.
    """
    values: dict[str, Any] = {"out_dir": root / "out", "models_dir": models_dir, "venv_dir": venv_dir}
    values |= _from_file(root / SETTINGS_FILE)
    names = [field.name for field in fields(Settings)]
    values |= {name: environ[PREFIX + name.upper()] for name in names if environ.get(PREFIX + name.upper())}
    values |= {name: value for name, value in flags.items() if value is not None and name in names}
    return Settings(
        out_dir=_path("out_dir", values["out_dir"]),
        models_dir=_path("models_dir", values["models_dir"]),
        venv_dir=_path("venv_dir", values["venv_dir"]),
        offline=_boolean("offline", values.get("offline", False)),
        hub_endpoint=_text("hub_endpoint", values.get("hub_endpoint", Settings.hub_endpoint)).rstrip("/"),
        catalog=_path("catalog", values["catalog"]) if "catalog" in values else None,
        max_ram=_size("max_ram", values["max_ram"]) if "max_ram" in values else None,
    )


def _from_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # of TOML and of UTF-8 alike
        raise UsageError(f"{path} is not valid TOML: {error}.", hint="Mend or delete the file.") from error
    known = {field.name for field in fields(Settings)}
    if unknown := sorted(set(values) - known):
        raise UsageError(
            f"{path} has settings that do not exist: {', '.join(unknown)}.", hint=f"Known: {', '.join(sorted(known))}."
        )
    for name in values.keys() & {"out_dir", "models_dir", "venv_dir", "catalog"}:
        values[name] = path.parent / _text(name, values[name])  # relative to the file, wherever it is used from
    return values


def _path(name: str, value: str | Path) -> Path:
    """A path that every program can be told and every record can hold."""
    try:
        path = Path(value).expanduser()
        if b"\0" in str(path).encode():
            raise ValueError("it holds a NUL")
    except (RuntimeError, ValueError) as error:  # no such user's home; not UTF-8
        reason = "it is not UTF-8" if isinstance(error, UnicodeEncodeError) else str(error).rstrip(".")
        raise UsageError(
            f"Setting {name} cannot be {str(value)!a}: {reason}.", hint="Give another path, from / or from here."
        ) from error
    return path


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"Setting {name} should be text in quotes, not {value!r}.", hint=f"Mend {SETTINGS_FILE}.")
    return value


def _size(name: str, value: object) -> int:
    try:
        return parse_size(_text(name, value))
    except ValueError as error:
        raise UsageError(
            f"Setting {name} should be a size, not {value!r}.", hint="Write it with its unit: 2G, 1500M or 2GiB."
        ) from error


def _boolean(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off", ""}:
        return False
    raise UsageError(
        f"Setting {name} should be true or false, not {value!r}.", hint=f"Set {PREFIX}{name.upper()}=1 or 0."
    )
