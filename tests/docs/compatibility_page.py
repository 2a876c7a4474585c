"""Writes docs/reference/compatibility.md from what was measured: `python tests/docs/compatibility_page.py`.

The measurements are in compatibility.json beside the page, where `stemscribe doctor --matrix` puts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stemscribe.pipeline.compatibility import WORKS, Matrix, Resolution, Trial
from stemscribe.records import read_record

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "compatibility.md"
DATA = PAGE.with_suffix(".json")
HEADING = """# What goes together

Every row was built with pip and made to work, on the day and machine it names: `torchaudio.save` was asked to
save half a second of silence, and stemscribe's torch engine was given a window to separate, whose stem went
through stemscribe's own writer and was read back. No row without a run: `stemscribe doctor --matrix
docs/reference/compatibility.json` measures, and `python tests/docs/compatibility_page.py` writes this page.

## torch and its companions

| | installed | GB | torchaudio.save | stemscribe | measured |
| --- | --- | --- | --- | --- | --- |
"""
MIDDLE = """
What the doctor says of each:

"""
PLATFORMS = """
## Platforms

Resolved by uv with the locks of this repository on {date}, wheels only (Demucs 4.0.1 itself is a source package
of pure Python). Only Linux x86-64 was also installed and made to work.

| | | {pythons} |
| --- | --- | {rule} |
"""
CLOSING = """
## Weights

The code of Demucs is under the MIT licence. For the pretrained weights nobody names one; by what their authors
say they are for personal and research use, and stemscribe shows that when it fetches them.

`torch.load` of releases before 2.6 can be made to run code by a pickle even with `weights_only=True`
([CVE-2025-32434](https://github.com/pytorch/pytorch/security/advisories/GHSA-53q9-r3pm-6pq6)), and the profile
`pinned` has 2.5.1. It does not reach us, because nothing here calls `torch.load`: weights come as ONNX or
safetensors, which hold numbers and no code, and are used only when their SHA-256, or that of what they are made
from, is the catalog's. Demucs' own `.th` files are read by a reader that knows a closed list of names and
builds nothing else ([0009](../decisions/0009-weights-for-torch.md)).
"""


def page(matrix: Matrix) -> str:
    """The whole page."""
    return (
        HEADING
        + "".join(map(_row, matrix.trials))
        + MIDDLE
        + "".join(f"- {trial.name}: {_remarks(trial)}\n" for trial in matrix.trials)
        + "".join(_platforms(matrix))
        + CLOSING
    )


def _row(trial: Trial) -> str:
    installed = ", ".join(f"{name} {version}" for name, version in trial.installed.items())
    measured = f"{trial.date}, {trial.platform}, Python {trial.python}"
    about = f"**{trial.name}**<br>{trial.why}"
    return (
        f"| {about} | {installed} | {trial.gigabytes} | {_verdict(trial.torchaudio_save)} | {_verdict(trial.stems)} "
        f"| {measured} |\n"
    )


def _verdict(result: str) -> str:
    return "✓" if result == WORKS else f"✗ {result.replace('|', '&#124;')}"


def _remarks(trial: Trial) -> str:
    return " ".join(trial.remarks.values()) or "Nothing."


def _platforms(matrix: Matrix) -> Iterator[str]:
    pythons = sorted({python for each in matrix.resolutions for python in each.pythons}, key=_release)
    yield PLATFORMS.format(date=matrix.resolved, pythons=" | ".join(pythons), rule=" | ".join("---" for _ in pythons))
    for each in matrix.resolutions:
        cells = " | ".join(_cell(each, python) for python in pythons)
        yield f"| {each.lock} | {each.platform} | {cells} |\n"


def _cell(each: Resolution, python: str) -> str:
    found = each.pythons.get(python, "")
    return "✓" if found == "wheels" else found or "—"


def _release(python: str) -> tuple[int, ...]:
    return tuple(map(int, python.split(".")))


if __name__ == "__main__":
    PAGE.write_text(page(read_record(DATA, Matrix)), encoding="utf-8")
