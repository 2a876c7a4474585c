"""Guards environments/proof.py, run as it is run: by another Python, as a file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from stemscribe.environments.manager import PROOF


@pytest.fixture
def site(workshop):
    """A folder of installed packages, with the tiny one in it."""
    workshop.manager().ensure(workshop.package("1.0", "print('talk')"))
    return next(workshop.venv.rglob("tinypackage.py")).parent


def findings(site, *pairs):
    code = f"import sys, runpy; sys.path.insert(0, {str(site)!r}); sys.argv[1:] = {list(pairs)!r}; "
    code += f"runpy.run_path({str(PROOF)!r}, run_name='__main__')"
    answer = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, check=True)
    return json.loads(answer.stdout)


def test_what_works_is_told_by_version_and_talk_is_kept_apart(site):
    expected = {"versions": {"tinypackage": "1.0"}, "failures": {}, "damaged": {}}
    assert findings(site, "tinypackage=tinypackage") == expected


def test_what_cannot_be_imported_is_told_with_the_reason(site):
    failures = findings(site, "nothing=nothing_at_all")["failures"]
    assert failures == {"nothing_at_all": "ModuleNotFoundError: No module named 'nothing_at_all'"}


def test_a_missing_file_is_told(site):
    (site / "tinypackage.py").unlink()
    assert findings(site)["damaged"] == {"tinypackage": "tinypackage.py is missing"}


def test_an_interrupted_installation_is_told(site):
    """RECORD is the last file that an installer writes."""
    next(site.glob("*.dist-info/RECORD")).unlink()
    assert findings(site)["damaged"] == {"tinypackage": "its list of files is missing"}


def test_byte_code_may_come_and_go(site):
    record = next(site.glob("*.dist-info/RECORD"))
    record.write_text(record.read_text() + "__pycache__/tinypackage.cpython-311.pyc,sha256=x,12\n")
    shutil.rmtree(site / "__pycache__", ignore_errors=True)
    assert findings(site)["damaged"] == {}
