"""Run inside an environment: import what it is for, and look whether its packages are whole.

    <venv>/bin/python -I proof.py DISTRIBUTION=MODULE...

prints one line of JSON: `versions` by distribution, `failures` by module with the reason, and `damaged` distributions
by name, with the first file that is missing or has another size than its installer recorded; where there are any,
nothing is imported. It imports nothing of stemscribe, because in the environment that it looks at nothing can be
relied on.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from importlib import metadata
from pathlib import Path


def main(pairs: list[str]) -> None:
    """Print the findings; everything that the modules themselves print goes to stderr."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Two of the packages would tell their makers that they are used; see stemscribe's `__init__`.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    versions, failures = {}, {}
    found = damaged()
    # A library that was cut short can end this process when it is loaded: then nothing at all would be told.
    for distribution, _, module in (pair.partition("=") for pair in pairs if not found):
        try:
            importlib.import_module(module)
            versions[distribution] = metadata.version(distribution)
        except Exception as error:  # noqa: BLE001 - a broken package can raise anything, and that is the answer
            failures[module] = " ".join(f"{type(error).__name__}: {error}".split())
    with answer:
        json.dump({"versions": versions, "failures": failures, "damaged": found}, answer)


def damaged() -> dict[str, str]:
    """The distributions that are not as their installer left them, with the first difference."""
    found = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"] or str(getattr(distribution, "_path", "unknown"))
        difference = first_difference(distribution)
        if difference:
            found[name] = difference
    return found


def first_difference(distribution: metadata.Distribution) -> str | None:
    """The first file of a distribution that is missing or was cut short; `None` when all are there.

    A distribution's RECORD is written after its files: without one, its installer was interrupted. Files of byte code
    may come and go and be compiled anew.
    """
    if not distribution.files:
        return "its list of files is missing"
    for file in distribution.files:
        if file.size is None or file.suffix == ".pyc":
            continue
        try:
            size = Path(os.fspath(file.locate())).stat().st_size
        except OSError:
            return f"{file} is missing"
        if size != file.size:
            return f"{file} has {size} bytes instead of {file.size}"
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
