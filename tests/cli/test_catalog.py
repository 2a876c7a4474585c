"""A catalog of the user's own, as every command sees it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = "from stemscribe.cli.app import main; main()"
MODEL = """
[[models]]
name = "mine-torch"
engine = "demucs_torch"
description = "My own Demucs"
license = "MIT"
license_url = "https://example.org/licence"
stems = ["vocals", "rest"]

[[models.files]]
name = "mine.safetensors"
size = 3
sha256 = "{sha256}"
sources = [{{ kind = "text", content = "abc" }}]
"""


def stemscribe(*arguments: object, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    places = {"STEMSCRIBE_ROOT": str(cwd), "STEMSCRIBE_MODELS_DIR": str(cwd / "models"), "NO_COLOR": "1"}
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    environ = {**os.environ, **places, **environ}
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, encoding="utf-8", check=False)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A project whose `stemscribe.toml` names a catalog beside it."""
    text = MODEL.format(sha256=hashlib.sha256(b"abc").hexdigest())
    (tmp_path / "my-models.toml").write_text(text, encoding="utf-8")
    (tmp_path / "stemscribe.toml").write_text('catalog = "my-models.toml"\n', encoding="utf-8")
    return tmp_path


def test_own_models_are_listed_after_the_built_in_ones_and_fetched_like_them(own: Path) -> None:
    listed = json.loads(stemscribe("models", "list", "--json", cwd=own).stdout)
    assert [model["name"] for model in (listed[0], listed[-1])] == ["htdemucs", "mine-torch"]
    done = stemscribe("models", "fetch", "mine-torch", cwd=own)
    assert (done.returncode, Path(done.stdout.strip()).name) == (0, "mine-torch")
    assert (own / "models" / "mine-torch" / "mine.safetensors").read_bytes() == b"abc"


def test_own_catalog_that_takes_a_built_in_name_is_refused_by_every_command(own: Path) -> None:
    path = own / "my-models.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("mine-torch", "htdemucs"), encoding="utf-8")
    for command in (["models", "list"], ["prepare", "--media", "in.mp4"], ["run", "--media", "in.mp4"]):
        done = stemscribe(*command, cwd=own)
        assert done.returncode == 1
        assert "htdemucs is the name of a built-in model, which cannot be replaced" in " ".join(done.stderr.split())


def test_own_catalog_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = stemscribe("models", "list", cwd=tmp_path, STEMSCRIBE_CATALOG=str(tmp_path / "none.toml"))
    assert done.returncode == 1
    assert "none.toml: No such file or directory" in " ".join(done.stderr.split())
