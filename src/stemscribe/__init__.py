"""Stems, then script: separate the voices of a film from its music, and write down what they say."""

import os
import sys

__version__ = "0.1.0"

# What is heard here is nobody else's business, nor is it that something is heard: onnxruntime and OpenVINO would tell
# their makers as soon as they are imported. The first can be asked not to, by nothing but the environment; the second
# takes a stub where its reporter cannot be imported. It is done here because everything of ours begins here, and
# because programs that we start inherit the first.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # which makes importing it an ImportError
