"""HTDemucs laid out anew is the same network: by its closed forms, by its bytes, and against the exported graph."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from fakes import noise
from stemscribe.arrays import Array
from stemscribe.audio.decode import TrackDecoder
from stemscribe.inference import choose_runtime, load_graph
from stemscribe.models.convert import CONVERSIONS
from stemscribe.models.convert.htdemucs_network import (
    NORM_EPSILON,
    SOURCES,
    _HTDemucs,
    _Level,
    spectrum_of,
    wave_of,
    write_graph,
)
from stemscribe.models.convert.htdemucs_onnx import read_weights
from stemscribe.models.convert.network import Network
from stemscribe.models.convert.weights import Tensor
from stemscribe.models.spec import load_catalog
from stemscribe.separation import spectrogram
from stemscribe.separation.engines.htdemucs_onnx import ALL_STEMS, GRAPH_FILE, WINDOW_FRAMES, HTDemucsOnnx

FULL = 16  # of an HTDemucs in miniature: channels of a branch, of which a quarter are hidden


def run(network: Network, path: Path, inputs: dict[str, Array], outputs: dict[str, tuple[int, ...]]) -> list[Array]:
    network.write(path, "part", {name: value.shape for name, value in inputs.items()}, outputs.items())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return list(session.run(list(outputs), inputs))


@pytest.mark.parametrize(("bins", "frames", "hidden", "wide"), [(1, 50, 4, 16), (7, 33, 3, 12), (5, 2, 6, 6)])
def test_mean_and_deviation_are_foreseen_without_the_wide_tensor(
    tmp_path: Path, bins: int, frames: int, hidden: int, wide: int
) -> None:
    """Against the definition: the wide tensor in double precision, and the moments of all its numbers in a bin."""
    chance = np.random.default_rng(bins)
    h = (chance.standard_normal((1, hidden, bins, frames)) + 3).astype(np.float32)
    matrix = chance.standard_normal((wide, hidden)).astype(np.float32)
    bias = chance.standard_normal(wide).astype(np.float32)
    network = Network()
    names = _HTDemucs(network, {})._foreseen("h", matrix, bias, _Level(bins, frames, 2))
    outputs = dict.fromkeys(names, (1, 1, bins, 1))
    mean, deviation = run(network, tmp_path / "foreseen.onnx", {"h": h}, outputs)
    whole = np.einsum("oi,ibf->obf", matrix, h[0], dtype=np.float64) + bias[:, None, None]
    np.testing.assert_allclose(mean[0, 0, :, 0], whole.mean(axis=(0, 2)), rtol=1e-5, atol=1e-5)
    # The variance of all numbers of a bin, as GroupNorm takes it: biased.
    np.testing.assert_allclose(
        deviation[0, 0, :, 0], np.sqrt(whole.var(axis=(0, 2)) + NORM_EPSILON), rtol=1e-5, atol=1e-6
    )


def test_the_second_half_of_a_residual_branch_is_what_it_stands_for(tmp_path: Path) -> None:
    """Matrix, norm over channels and frames, gated linear unit and layer scale, one after another in NumPy."""
    chance, hidden, level = np.random.default_rng(3), FULL // 4, _Level(5, 29, 2)
    shapes = {
        "p.3.weight": (2 * FULL, hidden, 1),
        "p.3.bias": (2 * FULL,),
        "p.4.weight": (2 * FULL,),
        "p.4.bias": (2 * FULL,),
        "p.6.scale": (FULL,),
    }
    values = {name: chance.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    h = chance.standard_normal((1, hidden, level.bins, level.frames)).astype(np.float32)
    network = Network()
    name = _HTDemucs(network, tensors_of(values))._widened("p", "h", level)
    (found,) = run(network, tmp_path / "widened.onnx", {"h": h}, {name: (1, FULL, level.bins, level.frames)})

    def per_channel(name: str) -> np.ndarray:
        return values[name][:, None, None].astype(np.float64)

    wide = np.einsum("oi,ibf->obf", values["p.3.weight"][:, :, 0], h[0], dtype=np.float64) + per_channel("p.3.bias")
    normal = (wide - wide.mean(axis=(0, 2), keepdims=True)) / np.sqrt(
        wide.var(axis=(0, 2), keepdims=True) + NORM_EPSILON
    )
    passed, gate = np.split(normal * per_channel("p.4.weight") + per_channel("p.4.bias"), 2)
    np.testing.assert_allclose(found[0], passed / (1 + np.exp(-gate)) * per_channel("p.6.scale"), rtol=1e-4, atol=1e-5)


def tensors_of(values: dict[str, Array]) -> dict[str, Tensor]:
    return {name: Tensor(value.dtype, value.shape, lambda value=value: value) for name, value in values.items()}  # type: ignore[misc]


def test_a_missing_weight_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^it is no HTDemucs: encoder\.0\.conv\.weight is missing$"):
        write_graph(tmp_path / "graph.onnx", {})
    assert not (tmp_path / "graph.onnx").exists()


@pytest.mark.models
@pytest.mark.parametrize(
    "missing", ["tdecoder.3.conv_tr.bias", "crosstransformer.layers_t.3.cross_attn.in_proj_weight"]
)
def test_the_last_weight_counts_like_the_first(model: Callable[[str], Path], tmp_path: Path, missing: str) -> None:
    tensors = dict(read_weights(model("htdemucs") / "htdemucs.onnx").tensors)
    del tensors[missing]
    with pytest.raises(ValueError, match=missing):
        write_graph(tmp_path / "graph.onnx", tensors)


CONVERT = """
import sys
from pathlib import Path
from stemscribe.models.convert import CONVERSIONS
CONVERSIONS["htdemucs_onnx_to_network"](Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.models
def test_pretrained_model_gives_the_bytes_of_the_catalog(model: Callable[[str], Path], tmp_path: Path) -> None:
    (file,) = load_catalog()["htdemucs-onnx"].files
    assert file.name == GRAPH_FILE
    command = [sys.executable, "-c", CONVERT, model("htdemucs") / "htdemucs.onnx", tmp_path / file.name]
    subprocess.run(command, check=True)
    content = (tmp_path / file.name).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)


def test_catalog_knows_the_conversion() -> None:
    (source,) = load_catalog()["htdemucs-onnx"].files[0].sources
    assert source.conversion in CONVERSIONS  # type: ignore[union-attr]


@pytest.mark.models
def test_each_stem_has_outputs_of_its_own_with_the_engines_shapes(model: Callable[[str], Path]) -> None:
    assert SOURCES == ALL_STEMS
    graph = onnx.load(model("htdemucs-onnx") / GRAPH_FILE).graph
    found = {each.name: tuple(side.dim_value for side in each.type.tensor_type.shape.dim) for each in graph.output}
    wanted = [
        (spectrum_of(stem), (1, 4, 2048, 336)) if branch else (wave_of(stem), (1, 2, WINDOW_FRAMES))
        for stem in SOURCES
        for branch in (True, False)
    ]
    assert list(found.items()) == wanted


def snr_db(reference: Array, estimate: Array) -> float:
    return float(
        10 * np.log10(np.sum(reference**2, dtype=np.float64) / np.sum((reference - estimate) ** 2, dtype=float))
    )


@pytest.mark.models
@pytest.mark.slow
def test_every_stem_agrees_with_the_exported_graph(model: Callable[[str], Path], clip: Path) -> None:
    sound = np.concatenate(list(TrackDecoder(clip, 0, 44100).blocks()), axis=1)[:, : 2 * WINDOW_FRAMES]
    mix = np.ascontiguousarray((sound / sound.std())[:, -WINDOW_FRAMES:])
    exported = load_graph(model("htdemucs") / "htdemucs.onnx", choose_runtime("cpu"))
    spectral, temporal = exported.run({"input": mix[None], "onnx::ReduceMean_1": spectrogram.analyse(mix)[None]})
    theirs = spectrogram.synthesise(spectral[0], WINDOW_FRAMES) + temporal[0]
    del exported
    ours = HTDemucsOnnx(model("htdemucs-onnx"), device="cpu").separate(mix)
    for stem, one, other in zip(ALL_STEMS, theirs, ours, strict=True):
        assert snr_db(one, other) >= 70, stem  # measured: 85 to 100; other roundings, and nothing else


@pytest.mark.models
@pytest.mark.slow
def test_a_stem_is_the_same_whichever_others_are_computed(model: Callable[[str], Path]) -> None:
    mix, folder = noise(WINDOW_FRAMES), model("htdemucs-onnx")
    every = dict(zip(ALL_STEMS, HTDemucsOnnx(folder, device="cpu").separate(mix), strict=True))
    bass, vocals = HTDemucsOnnx(folder, stems=("bass", "vocals"), device="cpu").separate(mix)
    for name, stem in (("bass", bass), ("vocals", vocals)):
        np.testing.assert_allclose(stem, every[name], atol=1e-5)  # a runtime may join other nodes then
