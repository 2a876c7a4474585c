"""Where tests find real recordings and real models; they skip, and say why, where these are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from platformdirs import user_cache_path

ROOT = Path(__file__).parents[1]
CORPUS = ROOT.parent / "shared" / "corpus"


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
def clip() -> Path:
    """The clip that anyone may have: JFK over music."""
    return ROOT / "in" / "test.mp4"
