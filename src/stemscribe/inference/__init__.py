"""Running ONNX graphs: one door, and behind it the runtime that suits the device."""

from stemscribe.inference.graph import Graph, Runtime, choose_runtime, load_graph

__all__ = ["Graph", "Runtime", "choose_runtime", "load_graph"]
