"""Our verified weights in the form that Demucs' own command takes them: `PYTHON -m benchmarks.demucs_repository
WEIGHTS.safetensors FOLDER`, with the Python of `venv/demucs`.

The folder is one for `demucs --repo FOLDER -n htdemucs`. Like the published model it is a bag of one
(`htdemucs.yaml`), whose checkpoint has its signature and the beginning of its SHA-256 in its name, and half precision
inside. The checkpoint is a pickle; this one was made a moment ago from a file that runs nothing, and stays in a
temporary folder.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

BAG = "htdemucs"


def write_repository(weights: Path, folder: Path) -> Path:
    """Write the bag and its checkpoint; returns the checkpoint, `SIGNATURE-CHECKSUM.th`.

    Args:
        weights: `SIGNATURE.safetensors`, whose metadata say of which class it is, and with which arguments.
        folder: where they go.
    """
    import torch
    from safetensors import safe_open

    with safe_open(str(weights), framework="pt") as file:
        metadata, names = file.metadata(), file.keys()
        state = {name: file.get_tensor(name) for name in names}
    module, _, name = metadata["klass"].rpartition(".")
    package = {
        "klass": getattr(importlib.import_module(module), name),
        "args": json.loads(metadata["args"], object_hook=_fraction),
        "kwargs": json.loads(metadata["kwargs"], object_hook=_fraction),
        "state": state,
    }
    content = io.BytesIO()
    torch.save(package, content)
    checksum = hashlib.sha256(content.getvalue()).hexdigest()[:8]
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f"{weights.stem}-{checksum}.th"
    checkpoint.write_bytes(content.getvalue())
    (folder / f"{BAG}.yaml").write_text(f"models: ['{weights.stem}']\n", encoding="utf-8")
    return checkpoint


def _fraction(value: dict[str, Any]) -> Any:
    if value.get("_type") == "fraction":
        return Fraction(value["numerator"], value["denominator"])
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    print(write_repository(asked.weights, asked.folder))


if __name__ == "__main__":
    main()
