"""Which engine separates, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stemscribe.environments.interpreter import python_in
from stemscribe.errors import EnvironmentBroken, UsageError
from stemscribe.jobs.job import Options
from stemscribe.models.spec import Catalog, load_catalog
from stemscribe.pipeline import engines
from stemscribe.pipeline.engines import choose_engine, require_environment


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(autouse=True)
def nothing_is_known_yet() -> None:
    engines._engine_for_gpu.cache_clear()


@pytest.fixture
def venvs(tmp_path: Path) -> Path:
    """A folder with an environment for torch, which nobody starts."""
    python = python_in(tmp_path / "demucs")
    python.parent.mkdir(parents=True)
    python.touch()
    return tmp_path


def with_gpu(monkeypatch: pytest.MonkeyPatch, device: str | Exception) -> None:
    """A GPU is there, and torch can compute on `device`."""

    def working_device(python: Path) -> str:
        if isinstance(device, Exception):
            raise device
        return device

    monkeypatch.setattr(engines, "gpu_for_torch", lambda: "NVIDIA Test")
    monkeypatch.setattr(engines, "working_device", working_device)


@pytest.mark.parametrize(
    ("options", "engine", "model", "why"),
    [
        (Options(), "onnx", "htdemucs-onnx", "there is no GPU that torch could use"),
        (Options(device="cpu"), "onnx", "htdemucs-onnx", "it needs less memory on a CPU"),
        (Options(engine="onnx"), "onnx", "htdemucs-onnx", "as asked"),
        (Options(engine="torch"), "torch", "htdemucs-torch", "as asked"),
        (Options(device="mps"), "torch", "htdemucs-torch", "mps is its device"),
        (
            Options(separation_model="htdemucs_ft"),
            "torch",
            "htdemucs_ft-torch",
            "there is no ONNX graph of htdemucs_ft",
        ),
        (Options(separation_model="spleeter"), "onnx", "spleeter", "there is no spleeter for torch"),
        (Options(separation_model="spleeter", engine="onnx"), "onnx", "spleeter", "as asked"),
    ],
)
def test_without_a_gpu_torch_has_to_be_asked_for(
    catalog: Catalog, venvs: Path, monkeypatch: pytest.MonkeyPatch, options: Options, engine: str, model: str, why: str
) -> None:
    monkeypatch.setattr(engines, "gpu_for_torch", lambda: None)
    choice = choose_engine(options, catalog, venvs)
    assert (choice.options.engine, choice.options.separation_model, choice.why) == (engine, model, why)


@pytest.mark.parametrize(
    ("device", "engine", "why"),
    [
        ("cuda", "torch", "it can use NVIDIA Test"),
        ("cpu", "onnx", "NVIDIA Test is there, but torch cannot use it (`stemscribe doctor --env demucs` tells why)"),
        (EnvironmentBroken("it is damaged."), "onnx", "NVIDIA Test is there, but torch does not work: it is damaged."),
    ],
)
def test_with_a_gpu_torch_is_taken_if_it_works(
    catalog: Catalog, venvs: Path, monkeypatch: pytest.MonkeyPatch, device: str | Exception, engine: str, why: str
) -> None:
    with_gpu(monkeypatch, device)
    choice = choose_engine(Options(), catalog, venvs)
    assert (choice.options.engine, choice.why) == (engine, why)


def test_with_a_gpu_and_without_torch_the_way_to_it_is_told(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpu(monkeypatch, "cuda")
    choice = choose_engine(Options(), catalog, tmp_path)
    assert choice.options.engine == "onnx"
    assert "`./bootstrap.sh --env demucs` makes it" in choice.why


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(separation_model="unheard-of"), r"There is no separation model 'unheard-of'\."),
        (Options(separation_model="whisper-base"), r"There is no separation model 'whisper-base'\."),
        (Options(separation_model="htdemucs_ft", engine="onnx"), r"There is no ONNX graph of htdemucs_ft\."),
        (Options(engine="onnx", device="mps"), r"Device mps is for --engine torch; onnx has coreml\."),
        (Options(engine="torch", device="coreml"), r"Device coreml is for --engine onnx; torch has mps\."),
        (Options(stems="six"), r"Model htdemucs has no guitar and no piano\."),
        (Options(separation_model="spleeter", engine="torch"), r"There is no spleeter for torch\."),
        (Options(separation_model="spleeter", device="mps"), r"Device mps is for --engine torch; onnx has coreml\."),
        (
            Options(separation_model="spleeter", stems="four"),
            r"Model spleeter has no drums and no bass and no other\.",
        ),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_done(
    catalog: Catalog, venvs: Path, options: Options, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        choose_engine(options, catalog, venvs)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (
            Options(stems="six"),
            "It has drums, bass, other, vocals. For guitar and piano: --separation-model htdemucs_6s.",
        ),
        (
            Options(separation_model="spleeter", stems="four"),
            "It has vocals, accompaniment. For drums, bass and other: --separation-model htdemucs.",
        ),
        (
            Options(separation_model="spleeter", stems="six"),
            "It has vocals, accompaniment. For guitar and piano: --separation-model htdemucs_6s.",
        ),
    ],
)
def test_a_model_that_has_the_missing_stems_is_named(
    catalog: Catalog, venvs: Path, options: Options, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        choose_engine(replace(options, engine="onnx"), catalog, venvs)
    assert caught.value.hint == hint


def test_with_a_gpu_spleeter_does_not_wait_for_torch(
    catalog: Catalog, venvs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpu(monkeypatch, "cuda")
    choice = choose_engine(Options(separation_model="spleeter"), catalog, venvs)
    assert (choice.options.engine, choice.options.separation_model) == ("onnx", "spleeter")


def test_torch_needs_its_environment(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBroken, match=r"Engine torch works in .*demucs, and that is not there\.") as caught:
        require_environment(tmp_path)
    assert "./bootstrap.sh --env demucs" in caught.value.hint


@pytest.mark.parametrize("begun_with", ["onnx", "torch"])
def test_a_job_goes_on_with_the_engine_that_it_began_with(
    catalog: Catalog, venvs: Path, monkeypatch: pytest.MonkeyPatch, begun_with: str
) -> None:
    """A GPU that comes or goes between two runs must not make a film be separated twice."""
    with_gpu(monkeypatch, "cuda" if begun_with == "onnx" else "cpu")
    choice = choose_engine(Options(), catalog, venvs, begun_with)
    assert (choice.options.engine, choice.why) == (begun_with, "the job began with it")
    asked = choose_engine(Options(engine="onnx"), catalog, venvs, "torch")
    assert asked.options.engine == "onnx"


def test_six_stems_are_those_of_a_model_that_has_them(catalog: Catalog, venvs: Path) -> None:
    choice = choose_engine(Options(stems="six", separation_model="htdemucs_6s"), catalog, venvs)
    assert choice.options.separation_model == "htdemucs_6s-torch"
