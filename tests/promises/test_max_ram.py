"""`--max-ram` with the real models: refused with numbers before anything is computed, and no part of the job."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .conftest import Workplace

pytestmark = [pytest.mark.models, pytest.mark.slow]


def test_a_job_that_needs_more_than_it_may_take_is_refused_and_goes_on_with_more(
    workplace: Workplace, clip: Path
) -> None:
    command = ("run", "--media", clip, "-s", "en", "--engine", "onnx", "--device", "cpu")
    refused = workplace.run(*command, "--max-ram", "500M", code=1)
    said = r"[\d.]+ [GM]B of memory were taken, and --max-ram allows 500\.0 MB\."
    assert re.search(rf"The rehearsal failed in source_separation: {said}", refused.stderr)
    assert "a smaller --model" in refused.stderr
    assert not list(workplace.job.glob("*_*/*"))

    workplace.run(*command, "--max-ram", "4G")
    made = {path: path.stat().st_mtime_ns for path in workplace.job.glob("*_*/*")}
    skipped = workplace.run(*command, "--json")
    kinds = [json.loads(line)["event"] for line in skipped.stdout.splitlines()]
    assert kinds.count("stage_skipped") == 5, "the limit counted as a part of the job"
    assert {path: path.stat().st_mtime_ns for path in workplace.job.glob("*_*/*")} == made
