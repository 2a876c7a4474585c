"""Nothing that computes here tells anybody of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stemscribe.inference import choose_runtime

LOADS = """
import sys
from pathlib import Path
import stemscribe
from stemscribe.inference import Runtime, load_graph
from stemscribe.speech.faster_whisper import whisper_code
graph = Path(sys.argv[1])
for name in sys.argv[2:]:
    load_graph(graph, Runtime(name, "cpu"), threads=1)
whisper_code("hi")
assert "onnxruntime" in sys.modules
"""


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    onnx = pytest.importorskip("onnx")
    sound = onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 4])
    heard = onnx.helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, [1, 4])
    nodes = [onnx.helper.make_node("Neg", ["input"], ["output"])]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "negation", [sound], [heard]),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, str(tmp_path / "graph.onnx"))
    return tmp_path / "graph.onnx"


def test_runtimes_leave_nothing_at_home(graph: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    runtimes = {"onnxruntime", choose_runtime("cpu").package}
    places = dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME"), str(home))
    quiet = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name and name != "CI"}
    subprocess.run([sys.executable, "-c", LOADS, str(graph), *sorted(runtimes)], env={**quiet, **places}, check=True)
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == []
