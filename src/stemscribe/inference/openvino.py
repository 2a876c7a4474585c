"""Graphs on OpenVINO: the leanest way to run a large graph on a CPU."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from stemscribe.arrays import Array
from stemscribe.inference.compiled import Bytes, CompiledGraphs
from stemscribe.inference.graph import SAME, Shapes


def version() -> str:
    """The installed release."""
    import openvino

    return str(openvino.__version__).partition("-")[0]


class OpenVinoGraph:
    """A graph compiled for the CPU, in float32 throughout.

    Args:
        path: an ONNX file.
        outputs: which outputs are wanted.
        shapes: of inputs that are to have others than in the file.
        threads: how many to use; 0 leaves it to OpenVINO.
        kept: where it may be found compiled, or is kept once it is.
    """

    def __init__(
        self,
        path: Path,
        *,
        outputs: Sequence[str] = (),
        shapes: Shapes = SAME,
        threads: int = 0,
        kept: CompiledGraphs | None = None,
    ) -> None:
        import openvino

        # Processors with AMX would silently compute in bfloat16: results would then depend on the machine.
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        held: Bytes | None = None
        if kept is None:
            compiled = core.compile_model(_read(core, path, outputs, shapes), "CPU", config)
        else:
            compiled, held = _found_or_compiled(core, path, outputs, shapes, config, kept)
        self._request = compiled.create_infer_request()
        self._held = held  # for as long as there are requests

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        results = self._request.infer(dict(inputs), share_inputs=True, share_outputs=True)
        return [np.asarray(output) for output in results.values()]


def _read(core: Any, path: Path, outputs: Sequence[str], shapes: Shapes) -> Any:
    """The graph of a file, or what of it the outputs need, for inputs of these shapes."""
    import openvino

    model = core.read_model(path)
    if outputs:
        results = {result.get_friendly_name().rpartition("/sink_port_")[0]: result for result in model.get_results()}
        model = openvino.Model([results[name] for name in outputs], model.get_parameters())
    if shapes:
        model.reshape({name: list(shape) for name, shape in shapes.items()})
    return model


def _found_or_compiled(
    core: Any, path: Path, outputs: Sequence[str], shapes: Shapes, config: Mapping[str, Any], kept: CompiledGraphs
) -> tuple[Any, Bytes | None]:
    """A compiled graph, and the memory that it goes on using, if any."""
    import openvino

    processor = core.get_property("CPU", "FULL_DEVICE_NAME")
    graph = path.stat()  # its hash is proven when it is fetched, and would take a tenth of a second here
    facts = [
        str(graph.st_size),
        str(graph.st_mtime_ns),
        version(),
        processor,
        json.dumps([config, dict(shapes)], sort_keys=True),
        *outputs,
    ]
    if (content := kept.find(facts)) is not None:
        with suppress(RuntimeError):  # it says so if it does not like it
            return core.import_model(openvino.Tensor(content, shared_memory=True), "CPU", config), content
    compiled = core.compile_model(_read(core, path, outputs, shapes), "CPU", config)
    kept.keep(facts, compiled.export_model().getvalue())
    return compiled, None
