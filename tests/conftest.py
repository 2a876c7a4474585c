"""Where tests find real recordings and real models; they skip, and say why, where these are absent."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from stemscribe.concurrency import one_ahead
from stemscribe.environments.interpreter import python_in
from stemscribe.separation import stream

ROOT = Path(__file__).parents[1]
CORPUS = ROOT.parent / "shared" / "corpus"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes an hour and most of a disk, unless it was asked for by its mark."""
    if "marathon" in config.getoption("-m"):
        return
    left_out = [item for item in items if item.get_closest_marker("marathon")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A separator is given one window at a time, so that it may number them as they come."""
    monkeypatch.setattr(stream, "one_ahead", lambda work, items, **_: one_ahead(work, items))


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real recordings beside the project."""
    if not CORPUS.is_dir():
        pytest.skip("needs ../shared/corpus, the recordings for development")
    return CORPUS


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of fetched models."""
    return Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or user_cache_path("stemscribe") / "models")


@pytest.fixture(scope="session")
def model(models_dir: Path):  # type: ignore[no-untyped-def]
    """Gives the folder of a real model that was fetched before."""

    def folder(name: str) -> Path:
        if not (models_dir / name).is_dir():
            pytest.skip(f"needs the model {name}: stemscribe models fetch {name}")
        return models_dir / name

    return folder


@pytest.fixture(scope="session")
def venv_dir() -> Path:
    """The folder of the project's virtual environments."""
    return Path(os.environ.get("STEMSCRIBE_VENV_DIR") or ROOT / "venv")


@pytest.fixture(scope="session")
def demucs_python(venv_dir: Path) -> Path:
    """The Python of the environment that has torch."""
    python = python_in(venv_dir / "demucs")
    if not python.exists():
        pytest.skip("needs venv/demucs: ./bootstrap.sh --env demucs")
    return python


MAKE_MODEL = """
import importlib, json, sys
import torch
from safetensors.torch import save_file
path, klass, kwargs, seed = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
torch.manual_seed(seed)
module, _, name = klass.rpartition(".")
model = getattr(importlib.import_module(module), name)(**kwargs)
state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
save_file(state, path, metadata={"klass": klass, "args": "[]", "kwargs": json.dumps(kwargs)})
"""
HTDEMUCS = "demucs.htdemucs.HTDemucs"
SMALL_HTDEMUCS = {"channels": 8, "depth": 4, "t_layers": 1, "bottom_channels": 16, "t_heads": 2, "segment": 1}


@pytest.fixture(scope="session")
def make_model(demucs_python: Path):  # type: ignore[no-untyped-def]
    """Writes a small random model of Demucs' as a safetensors file, and gives its folder."""

    def make(path: Path, seed: int = 0, klass: str = HTDEMUCS, **sizes: object) -> Path:
        kwargs = {"sources": ["drums", "bass", "other", "vocals"], **(sizes or SMALL_HTDEMUCS)}
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [demucs_python, "-W", "ignore", "-c", MAKE_MODEL, path, klass, json.dumps(kwargs), str(seed)]
        subprocess.run(command, check=True)
        return path.parent

    return make


@pytest.fixture(scope="session")
def clip() -> Path:
    """The clip that anyone may have: JFK over music."""
    return ROOT / "in" / "test.mp4"
