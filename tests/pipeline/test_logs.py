"""Log files of a job."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from stemscribe.errors import StorageError
from stemscribe.pipeline.logs import ROOT, logged_to

log = logging.getLogger(f"{ROOT}.test")


def test_what_is_said_is_kept_with_its_traceback(tmp_path: Path) -> None:
    for number in range(2):
        with logged_to(tmp_path / "job" / "pipeline.log"):
            log.info("run %d", number)
            log.debug("a traceback:", exc_info=ValueError("so it was"))
    log.warning("not for the file")
    text = (tmp_path / "job" / "pipeline.log").read_text(encoding="utf-8")
    assert [line.split("] ")[1] for line in text.splitlines() if "run" in line] == ["run 0", "run 1"]
    assert "ValueError: so it was" in text
    assert "not for the file" not in text


def test_a_log_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / "pipeline.log").mkdir()
    with pytest.raises(StorageError, match=r"Could not write .*pipeline\.log"), logged_to(tmp_path / "pipeline.log"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_stops_no_work_and_prints_no_traceback() -> None:
    code = (
        "import logging\nfrom pathlib import Path\nfrom stemscribe.pipeline.logs import logged_to\n"
        "with logged_to(Path('/dev/full')):\n    logging.getLogger('stemscribe').info('lost')\nprint('done')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
