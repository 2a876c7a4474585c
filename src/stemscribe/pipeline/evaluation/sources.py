"""Where transcripts and stems come from that are to be measured: one column of the comparison each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stemscribe.evaluation.references import Reference


@dataclass(frozen=True)
class Result:
    """What is to be measured of one recording.

    Attributes:
        text: the transcript; `None` where there is none.
        stems: files by name, and what the samples in them were multiplied by.
        coverage: what the job's ledger says; `None` where there is none.
        job: the job's id; empty for what is not ours.
        language: that was asked for.
    """

    text: str | None
    stems: Mapping[str, tuple[Path, float]]
    coverage: float | None = None
    job: str = ""
    language: str = ""


class Source(Protocol):
    """Where transcripts and stems come from: one column of the comparison."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> object:
        """What `evaluation.json` says of it."""
        ...

    def of(self, reference: Reference) -> Result:
        """What is to be measured of one recording.

        Raises:
            StemscribeError: there is nothing, or it could not be made.
        """
        ...
