"""Graphs on onnxruntime: for GPUs, for small graphs, and where OpenVINO has no wheel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stemscribe.arrays import Array
from stemscribe.errors import ModelError

_PROVIDERS = {"cuda": "CUDAExecutionProvider", "coreml": "CoreMLExecutionProvider", "cpu": "CPUExecutionProvider"}


def version() -> str:
    """The installed release."""
    import onnxruntime

    return str(onnxruntime.__version__)


def available_devices() -> list[str]:
    """The devices that this build of onnxruntime offers, best first."""
    import onnxruntime

    offered = set(onnxruntime.get_available_providers())
    return [device for device, provider in _PROVIDERS.items() if provider in offered]


class OnnxRuntimeGraph:
    """A graph in an onnxruntime session."""

    def __init__(self, path: Path, device: str = "cpu", *, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # The arena keeps every buffer it ever needed: 4.9 GB for one window of HTDemucs, 2.4 to 2.6 GB without it.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        providers = [_PROVIDERS[device]] + ([_PROVIDERS["cpu"]] if device != "cpu" else [])
        self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        if self._session.get_providers()[0] != providers[0]:
            raise ModelError(
                f"onnxruntime could not use {device}: it fell back to {self._session.get_providers()[0]}.",
                hint="Check the driver and its libraries, or use --device cpu.",
            )

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        results: list[Array] = self._session.run(None, dict(inputs))
        return results
