"""Running ONNX graphs: one door, and behind it the runtime that suits the device."""

from stemscribe.inference.compiled import COMPILED, CompiledGraphs
from stemscribe.inference.graph import Graph, Runtime, SharedGraph, choose_runtime, load_graph

__all__ = ["COMPILED", "CompiledGraphs", "Graph", "Runtime", "SharedGraph", "choose_runtime", "load_graph"]
