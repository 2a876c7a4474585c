"""Graphs on OpenVINO: the leanest way to run a large graph on a CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stemscribe.arrays import Array


def version() -> str:
    """The installed release."""
    import openvino

    return str(openvino.__version__).partition("-")[0]


class OpenVinoGraph:
    """A graph compiled for the CPU, in float32 throughout."""

    def __init__(self, path: Path, *, outputs: Sequence[str] = (), threads: int = 0) -> None:
        import openvino

        # Processors with AMX would silently compute in bfloat16: results would then depend on the machine.
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        model = core.read_model(path)
        if outputs:
            results = {
                result.get_friendly_name().rpartition("/sink_port_")[0]: result for result in model.get_results()
            }
            model = openvino.Model([results[name] for name in outputs], model.get_parameters())
        self._request = core.compile_model(model, "CPU", config).create_infer_request()

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        results = self._request.infer(dict(inputs), share_inputs=True, share_outputs=True)
        return [np.asarray(output) for output in results.values()]
