"""Run inside an environment: say everything about it that a diagnosis may hang on, whatever is broken in it.

    <venv>/bin/python -I inspection.py DISTRIBUTION=MODULE...

prints one line of JSON. The modules are imported in a process of their own, which is replaced by a fresh one whenever
an import fails, crashes or hangs: so one broken library costs its own line and nothing else, and what works is imported
only once. Nothing of stemscribe and nothing but the standard library is imported here, because in the environment that
is looked at nothing can be relied on; it is readable by Python 3.8.
"""

from __future__ import annotations

import ctypes.util
import importlib
import importlib.util
import json
import os
import platform
import re
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import IO, Any

STEP = "--step"
STEP_SECONDS = 180.0  # torch from a cold, slow disk takes most of a minute
LONGEST_ERROR = 2000
FFMPEG = ("avutil", "avcodec", "avformat")
PROBED = ("torch", "torchaudio")  # whose modules can tell more than that they import
PROBE = "?"  # before the name of a step that asks such a module


def main(pairs: list[str]) -> None:
    """Print the facts; everything that modules or tools print goes to stderr."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    modules = {module: distribution for distribution, _, module in (pair.partition("=") for pair in pairs)}
    results: dict[str, dict[str, Any]] = {}
    steps = steps_for(modules)
    imports = threading.Thread(target=take_all, args=(steps, results))
    imports.start()
    facts = environment()
    facts["ffmpeg"] = [name for name in FFMPEG if attempt(lambda name=name: ctypes.util.find_library(name))]
    facts["unreadable"] = attempt(unreadable) or {}
    facts["damaged"] = attempt(damaged) or {}
    imports.join()
    for module, distribution in modules.items():
        results[module]["foreign"] = is_foreign(distribution, results[module])
    facts["modules"] = {module: results[module] for module in modules}
    facts["torch"] = results.get(PROBE + "torch")
    facts["torchaudio"] = results.get(PROBE + "torchaudio")
    with answer:
        json.dump(facts, answer)


def attempt(question: Any) -> Any:
    """What `question` answers; `None` when it cannot: metadata that is damaged enough can raise anything."""
    try:
        return question()
    except Exception:  # noqa: BLE001 - see above; what is damaged shows in the other facts
        return None


# --- what can be seen without importing anything -------------------------------------------------


def environment() -> dict[str, Any]:
    """The interpreter, and what is installed by name and version."""
    versions: dict[str, list[str]] = {}
    for distribution in metadata.distributions():
        name = attempt(lambda distribution=distribution: distribution.metadata["Name"])
        if name:
            versions.setdefault(normalised(name), []).append(str(attempt(lambda d=distribution: d.version) or ""))
    return {
        "python": {
            "version": platform.python_version(),
            "executable": sys.executable,
            "prefix": sys.prefix,
            "base": sys.base_prefix,
        },
        "markers": {
            "implementation_name": sys.implementation.name,
            "os_name": os.name,
            "platform_machine": platform.machine(),
            "platform_python_implementation": platform.python_implementation(),
            "platform_system": platform.system(),
            "python_full_version": platform.python_version(),
            "python_version": ".".join(platform.python_version_tuple()[:2]),
            "sys_platform": sys.platform,
        },
        "distributions": {name: found[0] for name, found in versions.items()},
        "repeated": {name: sorted(set(found)) for name, found in versions.items() if len(set(found)) > 1},
    }


def normalised(name: str) -> str:
    """A distribution's name in the one spelling that counts (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def damaged() -> dict[str, str]:
    """What `proof.py` beside this file says of files that are missing or cut short."""
    path = Path(__file__).with_name("proof.py")
    spec = importlib.util.spec_from_file_location("proof", str(path))
    assert spec is not None
    assert spec.loader is not None
    proof = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(proof)
    found: dict[str, str] = proof.damaged()
    return found


def unreadable() -> dict[str, str]:
    """By distribution, the first of its files that may not be read.

    An administrator may read everything, and makes environments for others: so a file that nobody is allowed to read
    counts even where this process could read it.
    """
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        first = attempt(lambda distribution=distribution: first_unreadable(distribution))
        if first:
            found[normalised(distribution.metadata["Name"])] = first
    return found


def first_unreadable(distribution: metadata.Distribution) -> str | None:
    folders: dict[str, bool] = {}
    for file in distribution.files or ():
        if file.size is None or file.suffix == ".pyc":
            continue
        path = Path(os.fspath(file.locate()))
        folder = str(path.parent)
        if folder not in folders:
            folders[folder] = may(path.parent, os.X_OK, stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        if not folders[folder] or not may(path, os.R_OK, stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH):
            return str(file)
    return None


def may(path: Path, access: int, anybody: int) -> bool:
    """Whether a file may be read, or a folder entered; one that is missing may, for that is another fact."""
    try:
        return bool(path.stat().st_mode & anybody) and os.access(str(path), access)
    except PermissionError:
        return False
    except OSError:
        return True


def is_foreign(distribution: str, result: dict[str, Any]) -> bool:
    """Whether a module was imported from elsewhere than from the distribution that should bring it."""
    if result.get("error"):
        return False
    own = attempt(lambda: files_of(distribution))
    if own is None:
        return False  # nobody wrote down what belongs to it
    return not result.get("file") or os.path.realpath(result["file"]) not in own


def files_of(distribution: str) -> set[str] | None:
    try:
        files = metadata.distribution(distribution).files
    except metadata.PackageNotFoundError:
        return None
    if files is None:
        return None
    return {os.path.realpath(os.fspath(file.locate())) for file in files if file.suffix != ".pyc"}


# --- imports, in processes that may die ----------------------------------------------------------


def steps_for(modules: Iterable[str]) -> list[str]:
    """Import each module, and ask those that can tell more right after, while they are loaded."""
    steps: list[str] = []
    for module in modules:
        steps.append(module)
        if module in PROBED:
            steps.append(PROBE + module)
    return steps


def take_steps(steps: list[str], results: dict[str, dict[str, Any]], seconds: float = STEP_SECONDS) -> None:
    """Take the steps in child processes, and note what each one gave.

    Args:
        steps: names of modules, or of probes.
        results: gets a result for each step: what the child said, or `error`.
        seconds: how long one step may take.
    """
    while steps:
        with tempfile.TemporaryFile() as said:
            command = [sys.executable, "-I", "-X", "faulthandler", __file__, STEP, *steps]
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said)
            with child:
                taken = take_while_it_works(child, steps, results, seconds, said)
                child.kill()
        steps = steps[taken:]


def take_all(steps: list[str], results: dict[str, dict[str, Any]]) -> None:
    """Take the steps; where that cannot be done at all, say so of each that has no result."""
    try:
        take_steps(steps, results)
    except Exception as error:  # noqa: BLE001 - a full disk, or no more processes: it is the answer
        for name in steps:
            results.setdefault(name, {"error": text_of(error)})


def take_while_it_works(
    child: Any, steps: list[str], results: dict[str, dict[str, Any]], seconds: float, said: IO[bytes]
) -> int:
    """Note the results of a child up to the first failure; returns how many there are."""
    for taken, step in enumerate(steps, 1):
        late = threading.Event()
        timer = threading.Timer(seconds, lambda late=late: (late.set(), child.kill()))
        timer.start()
        line = child.stdout.readline()
        timer.cancel()
        if line.endswith(b"\n"):
            results[step] = json.loads(line)
        else:
            results[step] = {"error": cause_of_death(child.wait(), late.is_set(), seconds, said)}
        if results[step].get("error"):
            return taken
    return len(steps)


def cause_of_death(code: int, late: bool, seconds: float, said: IO[bytes]) -> str:
    if late:
        return f"Timeout: no answer after {seconds:.0f} s"
    said.seek(0)
    lines = [line for line in said.read().decode("utf-8", "replace").splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("Fatal Python error")]
    names = {int(number): number.name for number in signal.Signals}
    how = f"died of {names.get(-code, f'signal {-code}')}" if code < 0 else f"ended with exit code {code}"
    return clean(f"Crash: its Python {how}: {(fatal or lines or ['without a word'])[-1]}")


def step(names: list[str]) -> None:
    """Be the child: take the steps, and print a line of JSON after each."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = ask(name[1:]) if name.startswith(PROBE) else bring(name)
        except BaseException as error:  # noqa: BLE001 - even a SystemExit of a broken package is an answer
            result = {"error": text_of(error)}
        answer.write(json.dumps(result) + "\n")
        answer.flush()


def bring(name: str) -> dict[str, Any]:
    module = importlib.import_module(name)
    return {"version": str(getattr(module, "__version__", "")), "file": getattr(module, "__file__", None) or ""}


def text_of(error: BaseException) -> str:
    return clean(f"{type(error).__name__}: {error}")


def clean(text: str) -> str:
    return " ".join(text.split())[:LONGEST_ERROR]


# --- what torch and torchaudio can tell ----------------------------------------------------------


def ask(name: str) -> dict[str, Any]:
    if name == "torch":
        return torch_facts(importlib.import_module("torch"))
    return torchaudio_facts(importlib.import_module("torchaudio"))


def torch_facts(torch: Any) -> dict[str, Any]:
    """What torch was built for, and what it can use here."""
    mps = getattr(torch.backends, "mps", None)
    facts: dict[str, Any] = {
        "version": str(torch.__version__),
        "cuda_build": torch.version.cuda or "",
        "cxx11_abi": bool(attempt(torch.compiled_with_cxx11_abi)),
        "cuda_available": bool(torch.cuda.is_available()),
        "mps_built": bool(mps and mps.is_built()),
        "mps_available": bool(mps and mps.is_available()),
        "devices": [],
        "numpy_error": complaint(lambda: torch.zeros(1).numpy()),
        "cuda_error": "",
        "mps_error": "",
    }
    if facts["cuda_available"]:
        facts["devices"] = [str(torch.cuda.get_device_name(n)) for n in range(torch.cuda.device_count())]
        facts["cuda_error"] = complaint(lambda: work(torch, "cuda"))
    elif facts["cuda_build"]:
        facts["cuda_error"] = complaint(torch.cuda.init)
    if facts["mps_available"]:
        facts["mps_error"] = complaint(lambda: work(torch, "mps"))
    return facts


def work(torch: Any, device: str) -> None:
    """The kinds of arithmetic that HTDemucs is made of, on a device."""
    wave = torch.ones(1, 4, 512, device=device)
    wave = torch.nn.functional.conv1d(wave, torch.ones(4, 4, 3, device=device), padding=1)
    wave = torch.nn.functional.conv_transpose1d(wave, torch.ones(4, 4, 3, device=device))
    wave = torch.nn.functional.group_norm(wave, 1)
    wave = torch.nn.functional.glu(torch.nn.functional.gelu(wave), 1)
    torch.nn.functional.scaled_dot_product_attention(wave, wave, wave).sum().item()


def torchaudio_facts(torchaudio: Any) -> dict[str, Any]:
    """The backends that torchaudio found for reading and writing; `None` for a release that has none to choose from."""
    backends = getattr(torchaudio, "list_audio_backends", None)
    return {"backends": list(backends()) if backends else None}


def complaint(action: Any) -> str:
    try:
        action()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the answer
        return text_of(error)
    return ""


if __name__ == "__main__":
    if sys.argv[1:2] == [STEP]:
        step(sys.argv[2:])
    else:
        main(sys.argv[1:])
