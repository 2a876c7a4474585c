"""docs/reference/transcript.md describes the written records field by field, and the rules that cues keep to."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from stemscribe.records import to_json
from stemscribe.speech.recognition import Hearing
from stemscribe.subtitles.rules import CueRules
from stemscribe.transcript import Segment, Transcript, Word

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference" / "transcript.md").read_text(encoding="utf-8")


def documented(heading: str) -> list[str]:
    """The names in the first column of the table under a heading."""
    section = re.split(rf"^#+ {heading}$", REFERENCE, flags=re.MULTILINE)[1]
    section = re.split(r"^#", section, flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


@pytest.mark.parametrize(
    ("heading", "record"),
    [("Transcript", Transcript), ("Segment", Segment), ("Word", Word), ("Hearing", Hearing), ("Cues", CueRules)],
)
def test_every_field_is_documented_in_its_order(heading: str, record: type) -> None:
    assert documented(heading) == [field.name for field in fields(record)]


def test_the_documented_rules_are_the_ones_in_force() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+)[ |]", REFERENCE.split("## Cues")[1], flags=re.MULTILINE)
    assert {name: float(value) for name, value in rows} == {
        field.name: float(getattr(CueRules(), field.name)) for field in fields(CueRules)
    }


def test_the_example_is_what_would_be_written() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", REFERENCE, flags=re.DOTALL)
    assert to_json(msgspec.json.decode(example, type=Transcript)).decode() == example
