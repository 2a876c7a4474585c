"""Compiled graphs that are kept: they give the same, and nothing depends on them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from stemscribe.inference import CompiledGraphs, Runtime, load_graph
from stemscribe.inference.compiled import KEPT
from stemscribe.models.convert.network import Network

openvino = pytest.importorskip("stemscribe.inference.openvino", reason="it has no wheel for this platform")
INPUTS = {"a": np.array([1, 2, 3], np.float32)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "graph.onnx", 2.0)


def written(path: Path, factor: float) -> Path:
    network = Network()
    network.add("Mul", "a", network.constant(factor), name="product")
    network.add("Neg", "a", name="negated")
    network.write(path, "two", {"a": (3,)}, [("product", (3,)), ("negated", (3,))])
    return path


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The graphs that were read to be compiled."""
    read, asked = openvino._read, []

    def counted(core, path, *wanted):  # type: ignore[no-untyped-def]
        asked.append(path)
        return read(core, path, *wanted)

    monkeypatch.setattr(openvino, "_read", counted)
    return asked


def product(path: Path, folder: Path, *outputs: str, threads: int = 1) -> list[float]:
    """What the first output is, by a graph that is kept in a folder."""
    kept = CompiledGraphs(folder)
    graph = load_graph(path, Runtime("openvino", "cpu"), outputs=outputs, threads=threads, kept=kept)
    return graph.run(INPUTS)[0].tolist()  # type: ignore[no-any-return]


def test_it_is_compiled_once_and_gives_the_same(path: Path, tmp_path: Path, compilations: list[Path]) -> None:
    assert [product(path, tmp_path / "kept") for _ in range(3)] == [[2, 4, 6]] * 3
    assert compilations == [path]


def test_another_graph_other_outputs_and_other_threads_are_compiled_for_themselves(
    path: Path, tmp_path: Path, compilations: list[Path]
) -> None:
    kept = tmp_path / "kept"
    assert product(path, kept) == [2, 4, 6]
    assert product(path, kept, "negated") == [-1, -2, -3]
    assert product(path, kept, threads=2) == [2, 4, 6]
    assert product(written(path, 3.0), kept) == [3, 6, 9]
    assert len(compilations) == 4
    assert len(list(kept.iterdir())) == KEPT


@pytest.mark.parametrize("place", [0, 40, -1])
def test_what_was_damaged_is_compiled_anew_and_kept_again(
    path: Path, tmp_path: Path, compilations: list[Path], place: int
) -> None:
    product(path, tmp_path / "kept")
    (file,) = (tmp_path / "kept").iterdir()
    whole = file.read_bytes()
    damaged = bytearray(whole)
    damaged[place] ^= 1
    file.write_bytes(damaged)
    assert [product(path, tmp_path / "kept") for _ in range(2)] == [[2, 4, 6]] * 2
    assert len(compilations) == 2
    assert len(list((tmp_path / "kept").iterdir())) <= KEPT


def test_what_openvino_does_not_like_is_compiled_anew(
    path: Path, tmp_path: Path, compilations: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        CompiledGraphs, "find", lambda self, facts: np.frombuffer(bytearray(b"of another release"), np.uint8)
    )
    assert product(path, tmp_path / "kept") == [2, 4, 6]
    assert len(compilations) == 1


def test_where_nothing_can_be_kept_it_works_all_the_same(path: Path, tmp_path: Path, compilations: list[Path]) -> None:
    (tmp_path / "kept").write_text("a file where the folder would be")
    assert [product(path, tmp_path / "kept") for _ in range(2)] == [[2, 4, 6]] * 2
    assert len(compilations) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="rights are told otherwise there")
@pytest.mark.parametrize("whose", ["folder", "file"])
def test_what_others_could_have_written_is_not_computed_with(
    path: Path, tmp_path: Path, compilations: list[Path], whose: str
) -> None:
    product(path, tmp_path / "kept")
    (file,) = (tmp_path / "kept").iterdir()
    (file if whose == "file" else file.parent).chmod(0o777)
    assert product(path, tmp_path / "kept") == [2, 4, 6]
    assert len(compilations) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_in_its_place_is_neither_written_through_nor_tidied_up(
    path: Path, tmp_path: Path, compilations: list[Path]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    for number in range(KEPT + 1):
        (tmp_path / "elsewhere" / f"{number}.bin").touch()
    (tmp_path / "kept").symlink_to(tmp_path / "elsewhere")
    assert product(path, tmp_path / "kept") == [2, 4, 6]
    assert sorted(each.name for each in (tmp_path / "elsewhere").iterdir()) == ["0.bin", "1.bin", "2.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="rights are told otherwise there")
def test_it_is_kept_for_those_too_who_share_what_they_make(
    path: Path, tmp_path: Path, compilations: list[Path]
) -> None:
    before = os.umask(0)
    try:
        assert [product(path, tmp_path / "kept") for _ in range(2)] == [[2, 4, 6]] * 2
    finally:
        os.umask(before)
    assert len(compilations) == 1
