"""The threshold of the front door: what the command says when its own environment is damaged.

A package that was removed or cut short shows when it is imported, at the start or in the middle of a command. Only
Python's own modules are used here.
"""

from __future__ import annotations

import sys
import traceback

REPAIR = ".\\bootstrap.ps1" if sys.platform == "win32" else "./bootstrap.sh"


def main() -> None:
    """Run the command line; a package that cannot be imported is told in a sentence, exit code 1."""
    try:
        from stemscribe.cli.app import main as run
    except Exception as error:  # noqa: BLE001 - a truncated module can raise anything
        sys.exit(damage(error) or f"[ERROR] {error!r}")
    run()


def damage(error: BaseException | None) -> str | None:
    """What to say of an error that was raised while something was imported; `None` for any other."""
    if error is None:
        return None
    frames = traceback.extract_tb(error.__traceback__)
    importing = any(frame.name == "<module>" or frame.filename.startswith("<frozen importlib") for frame in frames)
    name = error.name if isinstance(error, ImportError) else None  # those that somebody raised by hand have none
    if not importing and not name and not isinstance(error, SyntaxError):
        return damage(error.__cause__)
    where = name or getattr(error, "filename", None) or frames[-1].filename
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return (
        f"[ERROR] venv/core is damaged: {where} cannot be imported ({reason}).\n"
        f"        Run `{REPAIR} --env core --check`: it looks at every file, and installs again what is not whole."
    )


if __name__ == "__main__":
    main()
