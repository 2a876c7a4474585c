"""The weights as Demucs' own command takes them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOAD = """
import json, sys
from pathlib import Path
from demucs.pretrained import get_model
from safetensors.torch import load_file
bag = get_model("htdemucs", repo=Path(sys.argv[1]))
model, weights = bag.models[0], load_file(sys.argv[2])
state = model.state_dict()
print(json.dumps({
    "models": len(bag.models),
    "class": type(model).__name__,
    "segment": str(model.segment),
    "differing": [name for name in weights if not weights[name].to(state[name].dtype).equal(state[name])],
    "names": sorted(state) == sorted(weights),
}))
"""


def run(python: Path, *arguments: str | Path) -> str:
    command = [str(python), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.torch
@pytest.mark.models
def test_demucs_loads_what_we_wrote(demucs_python: Path, model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    weights = model("htdemucs-torch") / "955717e8.safetensors"
    repository = tmp_path / "repository"
    checkpoint = Path(run(demucs_python, "-m", "benchmarks.demucs_repository", weights, repository).strip())
    assert checkpoint.parent == repository
    assert checkpoint.name.startswith("955717e8-")
    loaded = json.loads(run(demucs_python, "-c", LOAD, repository, weights))
    assert loaded == {"models": 1, "class": "HTDemucs", "segment": "39/5", "differing": [], "names": True}
