"""Which engine an ONNX graph is for: told by the file that a model's folder holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stemscribe.choices import Device
from stemscribe.separation.base import Separator
from stemscribe.separation.engines.htdemucs_onnx import HTDemucsOnnx
from stemscribe.separation.engines.spleeter_onnx import GRAPH_FILE, SpleeterOnnx


def open_onnx(folder: Path, *, stems: Sequence[str], device: Device = "auto", threads: int = 0) -> Separator:
    """What separates with the graph in a folder; it is not loaded yet.

    Args:
        folder: a fetched model.
        stems: which stems are wanted.
        device: where to compute.
        threads: for the CPU; 0 leaves it to the runtime.
    """
    engine = SpleeterOnnx if (folder / GRAPH_FILE).exists() else HTDemucsOnnx
    return engine(folder, stems=stems, device=device, threads=threads)
