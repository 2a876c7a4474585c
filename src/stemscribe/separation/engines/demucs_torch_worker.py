"""Run inside an environment that has torch and Demucs: windows in on stdin, their stems out on stdout.

    <venv>/bin/python -I demucs_torch_worker.py

The first line on stdin says what to load, as JSON: `model` (a folder, or null for a small random one that only shows
that all is in working order), `stems`, `device`, `threads`. The answer is a line
of JSON, `ready` with what was loaded or `error` with why not. After that come windows, some at once: a line of JSON,
`windows` with their number, and raw float32, `[windows, channels, frames]`. They are answered by a line, `bytes`, and
as many bytes of float32, `[windows, stems, channels, frames]`. The end of stdin is the end of the worker: it never
outlives the process that it works for by more than what it computes.

It imports nothing of stemscribe and can be read by Python 3.9, because all that an environment needs for it is NumPy,
torch, Demucs and safetensors. What becomes of the stems is not its business: nothing here writes a file.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import signal
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

# Operations that Metal lacks are computed on the CPU instead of failing; read when torch is imported.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

BAG = "bag.json"
CLASSES = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs", "demucs.demucs.Demucs")
MOST_WINDOWS = 8  # at once: more only make more to lose
ROOM_SHARE = 0.7  # of a GPU's free memory; other programs want some, and an allocator never fills all


class Refused(Exception):
    """A request that cannot be served, in a sentence; `kind` is `device` or `model`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Bag:
    """One or more models of one kind, whose estimates are averaged stem by stem.

    As in Demucs' `apply_model` (adefossez/demucs, `demucs/apply.py`), where each model goes over the whole file before
    the next does. Here each goes over the window; since overlap-add is linear, the sums are the same. Models that
    have no weight in any wanted stem are not even loaded.
    """

    def __init__(self, folder: Path | None, wanted: list[str], device: str) -> None:
        import torch

        description = _bag(folder)
        names: list[str] = description["models"]
        weights = description.get("weights") or []
        first = _load(folder, names[0])
        self.sources: list[str] = list(first.sources)
        unknown = [stem for stem in wanted if stem not in self.sources]
        if unknown:
            raise Refused("model", f"it has no stem {', '.join(unknown)}; it has {', '.join(self.sources)}")
        self.picked = [self.sources.index(stem) for stem in wanted]
        shares = weights or [[1.0] * len(self.sources) for _ in names]
        self.models: list[Any] = []
        self.shares: list[Any] = []
        for index, (name, share) in enumerate(zip(names, shares)):  # noqa: B905 - Python 3.9
            if any(share[source] for source in self.picked):
                model = first if index == 0 else _load(folder, name)
                _lengthen(model, description.get("segment"))
                self.models.append(_without_delay(model).to(device))
                self.shares.append(torch.tensor([share[source] for source in self.picked], device=device))
        self.total = sum(self.shares)
        self.device = device
        self.sample_rate = int(self.models[0].samplerate)
        self.channels = int(self.models[0].audio_channels)
        lengths = {int(model.segment * model.samplerate) for model in self.models}
        if len(lengths) > 1:
            raise Refused("model", f"its parts see windows of different lengths: {sorted(lengths)} frames")
        self.window_frames = lengths.pop()

    def separate(self, windows: Any) -> Any:
        """The wanted stems of windows: `[windows, channels, frames]` in, `[windows, stems, channels, frames]` out.

        Both float32. Where a GPU has not enough memory for all of them any more, they are computed by halves.
        """
        import numpy as np
        import torch

        try:
            return self._separated(windows)
        except RuntimeError as error:  # torch's OutOfMemoryError is one
            if len(windows) == 1 or _kind(error) != "memory":
                raise
        torch.cuda.empty_cache()  # nothing, without a GPU
        half = len(windows) // 2
        return np.concatenate([self.separate(windows[:half]), self.separate(windows[half:])])

    def _separated(self, windows: Any) -> Any:
        import torch

        with torch.no_grad():
            mix = torch.from_numpy(windows).to(self.device)
            stems = sum(
                share[:, None, None] * _estimate(model, mix)[:, self.picked]
                for model, share in zip(self.models, self.shares)  # noqa: B905 - Python 3.9
            )
            return (stems / self.total[:, None, None]).float().cpu().contiguous().numpy()

    def windows_at_once(self) -> int:
        """How many windows a GPU has room for, by what one of them takes; a CPU is no faster with more than one."""
        import numpy as np
        import torch

        if self.device != "cuda":
            return 1
        taken = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        self.separate(np.zeros((1, self.channels, self.window_frames), np.float32))
        each = torch.cuda.max_memory_allocated() - taken
        torch.cuda.empty_cache()
        return fitting(torch.cuda.mem_get_info()[0], each)


def fitting(free: int, each: int) -> int:
    """How many windows to compute at once in so much free memory, when each takes so much."""
    return max(1, min(MOST_WINDOWS, int(ROOM_SHARE * free / each)))


def _estimate(model: Any, mix: Any) -> Any:
    """All stems of windows. Demucs v2 takes certain lengths only: it gets silence around, which is cut off again."""
    from torch.nn.functional import pad

    frames = mix.shape[-1]
    wanted = frames
    if type(model).__name__ == "Demucs":
        wanted = model.valid_length(frames)
    before = (wanted - frames) // 2
    stems = model(pad(mix, (before, wanted - frames - before)))
    after = stems.shape[-1] - frames
    return stems[..., after // 2 : after // 2 + frames]


def _bag(folder: Path | None) -> dict[str, Any]:
    """Which models a folder holds, and how they share the stems."""
    if folder is None:
        return {"models": ["random"]}
    if (folder / BAG).is_file():
        description: dict[str, Any] = json.loads((folder / BAG).read_text(encoding="utf-8"))
        return description
    files = sorted(path.name for path in folder.glob("*.safetensors"))
    if len(files) != 1:
        raise Refused(
            "model", f"{folder} should hold one .safetensors file, or several with {BAG}; it has {len(files)}"
        )
    return {"models": files}


def _load(folder: Path | None, name: str) -> Any:
    """A model from a safetensors file in the form of Demucs 4.1, which says in its metadata what to build."""
    from safetensors import safe_open

    if folder is None:
        return _random()
    path = folder / name
    with safe_open(str(path), framework="pt") as file:
        about = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
    if about.get("klass") not in CLASSES:
        raise Refused("model", f"{path.name} is of class {about.get('klass')}, which is none of Demucs'")
    model = _build(about["klass"], json.loads(about["args"]), json.loads(about["kwargs"]))
    model.load_state_dict(state)
    return model


def _random() -> Any:
    """A small HTDemucs that nobody has trained, the same every time."""
    import torch

    torch.manual_seed(0)
    sizes = {"channels": 8, "depth": 4, "t_layers": 1, "bottom_channels": 16, "t_heads": 2, "segment": 1}
    return _build(CLASSES[0], [], {"sources": ["drums", "bass", "other", "vocals"], **sizes})


def _build(klass: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    module, _, name = klass.rpartition(".")
    model = getattr(importlib.import_module(module), name)(*_fractions(args), **_fractions(kwargs))
    return model.eval()


def _fractions(value: Any) -> Any:
    """Arguments as they were, with the fractions that JSON does not know."""
    if isinstance(value, dict):
        if value.get("_type") == "fraction":
            return Fraction(value["numerator"], value["denominator"])
        return {key: _fractions(item) for key, item in value.items()}
    return [_fractions(item) for item in value] if isinstance(value, list) else value


def _lengthen(model: Any, segment: float | None) -> None:
    """Let a model see longer windows, as Demucs' bags do; HTDemucs is bound to the length that it was trained on."""
    if segment is not None and type(model).__name__ != "HTDemucs":
        model.segment = max(segment, model.segment)


def _without_delay(model: Any) -> Any:
    """A model whose transposed convolutions do not go through oneDNN.

    That of torch 2.5.1 takes 8 s to prepare four of them for HTDemucs' lengths (7.1 s the last one alone, on two cores
    with AVX2), and saves nothing afterwards: a window takes as long without. torch 2.9.1 has no such delay.
    """
    import torch

    def plain(forward: Callable[..., Any]) -> Callable[..., Any]:
        def compute(*arguments: Any) -> Any:
            with torch.backends.mkldnn.flags(enabled=False):
                return forward(*arguments)

        return compute

    for module in model.modules():
        if isinstance(module, torch.nn.ConvTranspose1d):
            module.forward = plain(module.forward)
    return model


def choose_device(asked: str) -> str:
    """The device to compute on; `auto` takes the first that works of CUDA, MPS and the CPU."""
    import torch

    candidates = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available, "cpu": lambda: True}
    if asked != "auto":
        if asked not in candidates or not candidates[asked]():
            raise Refused("device", f"torch {torch.__version__} cannot use {asked} here")
        return asked
    for device, available in candidates.items():
        if available():
            try:
                torch.ones(8, device=device).sum().item()
            except RuntimeError as error:
                sys.stderr.write(f"{device} is there but does not work: {error}\n")
            else:
                return device
    raise Refused("device", "torch can compute nowhere here")


def prepare(threads: int) -> None:
    """Make torch give the same result for the same input, in full float32."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def load(request: dict[str, Any]) -> Bag:
    """What a request asks for."""
    prepare(request["threads"])
    folder = Path(request["model"]) if request["model"] else None
    return Bag(folder, request["stems"], choose_device(request["device"]))


def introduce(bag: Bag) -> dict[str, Any]:
    """What was loaded, for the answer."""
    from importlib.metadata import version

    import torch

    on_gpu = bag.device == "cuda"
    return {
        "sources": bag.sources,
        "sample_rate": bag.sample_rate,
        "channels": bag.channels,
        "window_frames": bag.window_frames,
        "device": bag.device,
        "batch": bag.windows_at_once(),
        "device_name": torch.cuda.get_device_name() if on_gpu else "",
        "torch": torch.__version__,
        "demucs": version("demucs"),
        "threads": torch.get_num_threads(),
    }


def serve(requests: BinaryIO, answers: BinaryIO) -> int:
    """Answer until there are no more requests; returns the exit code."""

    def answer(header: dict[str, Any], payload: bytes = b"") -> None:
        answers.write(json.dumps(header).encode() + b"\n" + payload)
        answers.flush()

    try:
        request = json.loads(requests.readline())
        if request.get("only") == "device":
            answer({"device": choose_device("auto")})
            return 0
        import numpy as np

        bag = load(request)
        answer({"ready": introduce(bag)})
        while line := requests.readline():
            shape = (json.loads(line)["windows"], bag.channels, bag.window_frames)
            size = math.prod(shape) * 4
            windows = requests.read(size)
            if len(windows) < size:
                return 0
            stems = bag.separate(np.frombuffer(windows, "<f4").reshape(shape).copy()).astype("<f4", copy=False)
            answer({"bytes": stems.nbytes}, stems.tobytes())
        return 0
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - whatever it is, the other side is the one to tell it
        import traceback

        traceback.print_exc()
        answer({"error": {"kind": _kind(error), "message": " ".join(f"{type(error).__name__}: {error}".split())}})
        return 1


def _kind(error: Exception) -> str:
    if isinstance(error, Refused):
        return error.kind
    if isinstance(error, ImportError):
        return "import"
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower() or "can't allocate" in str(error):
        return "memory"
    return "other"


def main() -> int:
    """Serve; whatever the libraries print goes to stderr, because stdout carries the answers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other side is interrupted, and ends us
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    sys.exit(main())
