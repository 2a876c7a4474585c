"""What is known to break, and how to recognise it: one small function for each, from facts to a finding.

A rule sees what was found out about an environment and the machine, and nothing else; it says what is wrong, why that
matters, and what to do, a sentence each. Two rules may speak of the same misfortune from two sides; what one of them
has explained in particular, the general one leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from stemscribe.environments.diagnosis import DISK_FULL
from stemscribe.environments.facts import EnvironmentFacts, FolderFacts, HostFacts, ModuleFacts
from stemscribe.environments.installed import normalised
from stemscribe.environments.profile import DEMUCS

Severity = Literal["error", "warning", "note"]

GIGABYTE = 10**9
# An hour of film: the mix, the committed windows and two stems, with 60 % to spare.
HOUR_BYTES = 5 * GIGABYTE
# Below this not even a clip can be counted on.
FULL_BYTES = 1 * GIGABYTE

TORCHCODEC_SINCE = (2, 9)  # torchaudio's own reading and writing ended there
STABLE_ABI_SINCE = (2, 10)  # from there on torchaudio no longer has to be of torch's own release
NUMPY_2_SINCE = (2, 3)  # earlier releases of torch were compiled for NumPy 1
SAFE_LOAD_SINCE = (2, 6)
# The oldest driver that a CUDA release works with, by the release's first number (NVIDIA's compatibility guide, Linux).
OLDEST_DRIVERS = {11: 450, 12: 525, 13: 580}

ABI = re.compile(
    r"undefined symbol|[Ss]ymbol not found|different CUDA versions|procedure could not be found|GLIBC(XX)?_[\d.]+. not"
)
NO_LIBRARY = re.compile(r"(\S+?): cannot open shared object file|Library not loaded: (\S+)|DLL load failed")
OLD_DRIVER = re.compile(r"driver on your system is too old", re.IGNORECASE)
NUMPY_ABI = re.compile(r"_ARRAY_API not found|compiled using NumPy 1|Numpy is not available")
ROOM = "Make room on the disk of the environment and on that of temporary files (TMPDIR), then look again."
SHOWN = 5
LONGEST_QUOTE = 240


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or worth knowing.

    Attributes:
        rule: the name of the rule that found it; it does not change between releases.
        severity: an error keeps work from being done, a warning makes it worse, a note only explains.
        what: what was found, with the evidence.
        why: why that matters.
        what_to_do: the next step.
        fixable: whether `stemscribe doctor --fix` can mend it.
    """

    rule: str
    severity: Severity
    what: str
    why: str
    what_to_do: str
    fixable: bool = False


Rule = Callable[[EnvironmentFacts, HostFacts], "Finding | None"]
HostRule = Callable[[HostFacts], "Finding | None"]


def findings(facts: EnvironmentFacts, host: HostFacts) -> tuple[Finding, ...]:
    """What the rules say of an environment, in the order of the table."""
    return tuple(finding for rule in RULES if (finding := rule(facts, host)) is not None)


def host_findings(host: HostFacts) -> tuple[Finding, ...]:
    """What the rules say of the machine."""
    return tuple(finding for rule in HOST_RULES if (finding := rule(host)) is not None)


# --- the environment as a whole ------------------------------------------------------------------


def environment_missing(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    if facts.is_there:
        return None
    return Finding(
        "environment-missing",
        "error",
        f"There is no {_venv(facts)}.",
        "Only engine torch works in it; engine onnx does without."
        if facts.name == DEMUCS
        else "Nothing works without it.",
        f"Run `./bootstrap.sh --env {facts.name}`.",
        fixable=True,
    )


def interpreter_missing(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    if not facts.interpreter or facts.closed:
        return None
    home = (
        f" It was made with the Python in {facts.lost_home}, and that folder has vanished." if facts.lost_home else ""
    )
    return Finding(
        "interpreter-missing",
        "error",
        f"The Python of {_venv(facts)} cannot be started: {facts.interpreter}.",
        f"An environment is bound to the Python that it was made with.{home}",
        _anew(facts),
        fixable=True,
    )


def folder_closed(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    """A folder without which nothing else can be seen."""
    if not facts.closed:
        return None
    return Finding(
        "folder-closed",
        "error",
        f"{_venv(facts)} cannot be used: {facts.closed} may not be read.",
        "Its permissions were changed, or it belongs to another user.",
        f"Run `chmod -R u+rwX {facts.path}` as its owner, or `stemscribe doctor --env {facts.name} --fix`.",
        fixable=True,
    )


def interpreter_foreign(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    """Another place's environment: moved or copied here; its scripts still call the original."""
    if facts.interpreter or not facts.made_at or facts.is_at_home:
        return None
    return Finding(
        "interpreter-foreign",
        "error",
        f"{_venv(facts)} was made in {facts.made_at}, and moved or copied here.",
        "Its scripts and links still lead to that place, and what they start there may be anything.",
        _anew(facts),
        fixable=True,
    )


def half_made(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    if not facts.is_there or not facts.made_at or facts.is_proven or not facts.is_at_home:
        return None
    return Finding(
        "half-made",
        "error",
        f"{_venv(facts)} is half-made: it has no marker.",
        "Its making or mending was interrupted, and nothing in it has been proven since.",
        f"Run `./bootstrap.sh --env {facts.name}`; it goes on where it stopped.",
        fixable=True,
    )


def made_by_hand(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    if not facts.is_there or facts.made_at or facts.closed:
        return None
    return Finding(
        "made-by-hand",
        "note",
        f"{_venv(facts)} was made by hand.",
        "Nobody has proven it, and nobody keeps it up to date.",
        f"`./bootstrap.sh --env {facts.name}` takes it over when it is as the lock has it, and replaces it otherwise.",
    )


def cannot_look(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    if not facts.inspection_error:
        return None
    is_full = _is_full(facts.inspection_error)
    return Finding(
        "cannot-look",
        "error",
        f"{_venv(facts)} cannot be looked into: {_quote(facts.inspection_error)}.",
        "Its Python starts, but cannot run a plain script.",
        ROOM if is_full else _anew(facts),
        fixable=not is_full,
    )


# --- its packages --------------------------------------------------------------------------------


def drifted(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    """What the environment is for must be as locked; other packages may differ, and mostly do no harm."""
    if not facts.drifted:
        return None
    vital = [each for each in facts.drifted if each.vital]
    harmless = len(facts.drifted) - len(vital)
    others = f" (and {harmless} other packages differ)" if vital and harmless else ""
    return Finding(
        "requirements-drifted",
        "error" if vital else "warning",
        f"{_venv(facts)} is not what its lock says: {_some(map(str, vital or facts.drifted))}{others}.",
        "Only what the lock names was proven to work together.",
        _anew(facts)
        if vital
        else f"Nothing; or `./bootstrap.sh --env {facts.name} --force`, which makes it as locked.",
        fixable=bool(vital),
    )


def packages_damaged(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    damaged = {name: first for name, first in facts.damaged.items() if normalised(name) not in facts.unreadable}
    if not damaged:
        return None
    return Finding(
        "packages-damaged",
        "error",
        f"{_venv(facts)} has damaged packages: {_some(f'{name} ({first})' for name, first in damaged.items())}.",
        "Files were deleted, changed or cut short after they had been installed.",
        _anew(facts),
        fixable=True,
    )


def files_unreadable(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    if not facts.unreadable:
        return None
    named = _some(f"{file} of {name}" for name, file in facts.unreadable.items())
    return Finding(
        "files-unreadable",
        "error",
        f"{_venv(facts)} has files that may not be read: {named}.",
        "Their permissions were changed, or another user installed them.",
        f"Run `chmod -R u+rwX {facts.path}` as their owner, or `stemscribe doctor --env {facts.name} --fix`.",
        fixable=True,
    )


def installed_twice(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    if not facts.repeated:
        return None
    named = _some(f"{name} ({' and '.join(versions)})" for name, versions in facts.repeated.items())
    return Finding(
        "installed-twice",
        "error",
        f"{_venv(facts)} has packages in two versions at once: {named}.",
        "An installation was cut off halfway, and its files may be a mixture of both.",
        _anew(facts),
        fixable=True,
    )


def module_shadowed(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    shadowed = {name: module for name, module in facts.modules.items() if module.foreign}
    if not shadowed:
        return None
    named = _some(
        f"`{name}` from {module.file or 'a folder without code'}" for name, module in sorted(shadowed.items())
    )
    return Finding(
        "module-shadowed",
        "error",
        f"{_venv(facts)} does not use its own packages: it imports {named}.",
        "Something of the same name comes first, and nobody knows what it does.",
        f"Take that away, or run `stemscribe doctor --env {facts.name} --fix`.",
        fixable=True,
    )


def import_fails(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    """What no other rule has an explanation for."""
    missing = {each.name for each in facts.drifted if not each.installed}
    broken = {
        name: module.error
        for name, module in facts.modules.items()
        if module.error and normalised(name.partition(".")[0]) not in missing and not _is_explained(name, module, facts)
    }
    if not broken:
        return None
    is_full = all(_is_full(error) for error in broken.values())
    return Finding(
        "import-fails",
        "error",
        f"{_venv(facts)} cannot import {_errors(broken)}.",
        "What the environment is for needs it.",
        ROOM if is_full else _anew(facts),
        fixable=not is_full,
    )


def abi_mismatch(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    broken = {name: module.error for name, module in facts.modules.items() if ABI.search(module.error)}
    broken = {name: error for name, error in broken.items() if name != "torchcodec"}
    if not broken:
        return None
    return Finding(
        "abi-mismatch",
        "error",
        f"{_venv(facts)} has compiled packages that do not fit each other: {_errors(broken)}.",
        "They were built for another release of torch, of CUDA or of the system's libraries than the one that is here.",
        _anew(facts),
        fixable=True,
    )


def library_missing(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    found = {name: match for name, module in facts.modules.items() if (match := NO_LIBRARY.search(module.error))}
    wanting: dict[str, list[str]] = {}
    for name, match in found.items():
        if name != "torchcodec":
            wanting.setdefault(match[1] or match[2] or "a DLL", []).append(f"`{name}`")
    if not wanting:
        return None
    named = _some(f"{library}, needed by {', '.join(names)}" for library, names in wanting.items())
    return Finding(
        "library-missing",
        "error",
        f"{_venv(facts)} lacks a shared library: {named}.",
        "It belongs to a package that is not whole, or to the system.",
        f"{_anew(facts)} If it stays, install the library with the package manager of your system; on Windows, the "
        "Visual C++ Redistributable.",
        fixable=True,
    )


# --- torch and its companions --------------------------------------------------------------------


def torchaudio_without_torchcodec(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    """The bug that stemscribe was founded on."""
    version = facts.distributions.get("torchaudio", "")
    if _release(version) < TORCHCODEC_SINCE or "torchcodec" in facts.distributions:
        return None
    return Finding(
        "torchaudio-without-torchcodec",
        "error",
        f"{_venv(facts)} has torchaudio {version} without torchcodec: `torchaudio.save` raises ImportError.",
        "From 2.9 on torchaudio neither reads nor writes by itself, so Demucs' own command separates a whole film and "
        "loses it in the last step; stemscribe's writer does not use torchaudio, and saves its stems even so.",
        _anew(facts),
        fixable=True,
    )


def releases_differ(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    torch, torchaudio = (_version(name, facts) for name in ("torch", "torchaudio"))
    if not torch or not torchaudio or _release(torchaudio) >= STABLE_ABI_SINCE:
        return None
    if torch.partition("+")[0] == torchaudio.partition("+")[0] and len(_suffixes((torch, torchaudio))) <= 1:
        return None
    return Finding(
        "releases-differ",
        "error",
        f"{_venv(facts)} has torch {torch} with torchaudio {torchaudio}.",
        "torchaudio's compiled part fits the torch of its own release and build only; with another it fails when it is "
        "loaded, or later.",
        _anew(facts),
        fixable=True,
    )


def torchcodec_without_ffmpeg(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    error = facts.error("torchcodec")
    if not error or "avutil" in facts.ffmpeg:
        return None
    return Finding(
        "torchcodec-without-ffmpeg",
        _codec_severity(facts),
        f"{_venv(facts)} has torchcodec, but FFmpeg's libraries are missing (libavutil cannot be found).",
        "torchcodec is only a bridge to them: torchaudio 2.9 and newer cannot read or write without; stemscribe does "
        "both itself.",
        _codec_advice(facts, "Install FFmpeg 4 to 8 with the package manager of your system"),
        fixable=_codec_severity(facts) == "error",
    )


def torchcodec_of_another_release(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    error = facts.error("torchcodec")
    if not error or "avutil" not in facts.ffmpeg:
        return None
    return Finding(
        "torchcodec-release",
        _codec_severity(facts),
        f"{_venv(facts)} has torchcodec {facts.distributions.get('torchcodec', '')} with torch "
        f"{facts.distributions.get('torch', '')}, and it cannot be loaded.",
        "Each release of torchcodec fits one release of torch, and the releases of FFmpeg that it was built for.",
        _codec_advice(facts, "Install the torchcodec that fits this torch"),
        fixable=_codec_severity(facts) == "error",
    )


def no_audio_backend(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    version = facts.distributions.get("torchaudio", "")
    if facts.backends != () or _release(version) >= TORCHCODEC_SINCE:
        return None
    return Finding(
        "no-audio-backend",
        "error",
        f"torchaudio {version} in {_venv(facts)} has no backend: no soundfile, no SoX, no FFmpeg libraries.",
        "Up to 2.8 torchaudio writes through one of them; without, Demucs' own command fails in its last step "
        "(facebookresearch/demucs issue 570). stemscribe's writer needs none.",
        f"{_anew(facts)} By hand: install soundfile into it.",
        fixable=True,
    )


def numpy_too_new(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    torch, numpy = facts.distributions.get("torch", ""), facts.distributions.get("numpy", "")
    error = facts.torch.numpy_error if facts.torch else ""
    told = error or next((m.error for m in facts.modules.values() if NUMPY_ABI.search(m.error)), "")
    is_known = bool(torch and numpy) and _release(torch) < NUMPY_2_SINCE and _release(numpy) >= (2,)
    if not is_known and (not told or facts.error("numpy")):
        return None
    return Finding(
        "numpy-too-new" if is_known else "numpy-apart",
        "error",
        f"{_venv(facts)} has NumPy {numpy} with torch {torch}" + (f": {_quote(told)}." if told else "."),
        "torch before 2.3 was compiled for NumPy 1, and cannot exchange arrays with NumPy 2."
        if is_known
        else "Windows are handed to torch as arrays of NumPy.",
        _anew(facts),
        fixable=True,
    )


def cuda_without_driver(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    torch = facts.torch
    if torch is None or not torch.cuda_build or torch.cuda_available or host.driver:
        return None
    if host.has_nvidia_device:
        return Finding(
            "driver-missing",
            "warning",
            "This machine has an NVIDIA GPU, and no driver for it that works.",
            f"{_venv(facts)} can use it (CUDA {torch.cuda_build}), but computes on the CPU until there is one.",
            f"Install NVIDIA's driver, {_oldest(torch.cuda_build)} or newer, until `nvidia-smi` shows the GPU.",
        )
    return Finding(
        "cuda-without-gpu",
        "note",
        f"torch {torch.version} in {_venv(facts)} is a CUDA build, and this machine has no NVIDIA GPU.",
        "It works on the CPU all the same, and takes 4 to 5 GB more than a CPU build would.",
        f"Nothing; or `./bootstrap.sh --env {facts.name} --force` where PyTorch's CPU index can be reached.",
    )


def driver_too_old(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    torch = facts.torch
    if torch is None or not torch.cuda_build or torch.cuda_available or not _is_old_driver(facts, host):
        return None
    return Finding(
        "driver-too-old",
        "warning",
        f"NVIDIA's driver {host.driver or 'here'} is too old for torch {torch.version} in {_venv(facts)}.",
        f"CUDA {torch.cuda_build} needs {_oldest(torch.cuda_build)} or newer; until then torch computes on the CPU.",
        "Update the driver.",
    )


def gpu_not_used(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    torch = facts.torch
    if torch is None or torch.error or torch.cuda_available or not host.gpus or _is_old_driver(facts, host):
        return None
    cause = _quote(torch.cuda_error) if torch.cuda_build else "it is a build without CUDA"
    return Finding(
        "gpu-not-used",
        "warning",
        f"This machine has an {_some(host.gpus)}, and torch {torch.version} in {_venv(facts)} cannot use it: {cause}.",
        "Separation runs on the CPU, many times slower than it could.",
        f"Run `./bootstrap.sh --env {facts.name} --force`: it takes the CUDA build where `nvidia-smi` works."
        if not torch.cuda_build
        else "Check that `nvidia-smi` works for you, and that CUDA_VISIBLE_DEVICES does not hide the GPU.",
    )


def gpu_fails(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    torch = facts.torch
    if torch is None or not torch.cuda_available or not torch.cuda_error:
        return None
    return Finding(
        "gpu-fails",
        "error",
        f"torch {torch.version} in {_venv(facts)} sees {_some(torch.devices)}, but cannot compute on it: "
        f"{_quote(torch.cuda_error)}.",
        "Most often the GPU is newer or older than this build of torch knows, or another program holds its memory.",
        f"Use `--device cpu`, or a newer torch: `./bootstrap.sh --env {facts.name} --profile modern`.",
    )


def mps_incomplete(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    torch = facts.torch
    if torch is None or not torch.mps_available or not torch.mps_error:
        return None
    return Finding(
        "mps-incomplete",
        "warning",
        f"torch {torch.version} in {_venv(facts)} lacks an operation on this Mac's GPU: {_quote(torch.mps_error)}.",
        "stemscribe sets PYTORCH_ENABLE_MPS_FALLBACK=1, so that it is computed on the CPU, which is slower.",
        f"Compare with `--device cpu`, or try a newer torch: `./bootstrap.sh --env {facts.name} --profile modern`.",
    )


def torch_mute(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    if facts.torch is None or not facts.torch.error:
        return None
    return Finding(
        "torch-mute",
        "error",
        f"torch in {_venv(facts)} is imported, but cannot say what it can use: {_quote(facts.torch.error)}.",
        "A driver or a library that it loads then takes it down.",
        f"Try `CUDA_VISIBLE_DEVICES= stemscribe doctor --env {facts.name}`: if that helps, it is the GPU's driver.",
    )


def unsafe_load(facts: EnvironmentFacts, host: HostFacts) -> Finding | None:
    version = facts.distributions.get("torch", "")
    if not version or _release(version) >= SAFE_LOAD_SINCE:
        return None
    return Finding(
        "torch-load",
        "note",
        f"torch {version} in {_venv(facts)} has a hole in `torch.load`, `weights_only=True` or not (CVE-2025-32434).",
        "It does not reach stemscribe: weights are read as safetensors or ONNX, and only when their SHA-256 is known.",
        "Do not use this environment to load pickled weights from others.",
    )


# --- the machine ---------------------------------------------------------------------------------


def folder_unwritable(host: HostFacts) -> Finding | None:
    refused = [folder for folder in host.folders if folder.refusal]
    if not refused:
        return None
    return Finding(
        "folder-unwritable",
        "error",
        f"Not writable: {_some(f'{folder.role} {folder.path} ({folder.refusal})' for folder in refused)}.",
        "Jobs, stems and models are written there.",
        f"Make it writable for you, or choose another one with {' or '.join(folder.option for folder in refused)}.",
    )


def disk_full(host: HostFacts) -> Finding | None:
    """By numbers: what an hour of film needs, and what even a clip does."""
    tightest = min((folder for folder in host.folders if not folder.refusal), key=_slack, default=None)
    if tightest is None or _slack(tightest) >= 0:
        return None
    is_full = tightest.free < FULL_BYTES
    return Finding(
        "disk-full" if is_full else "disk-nearly-full",
        "error" if is_full else "warning",
        f"{tightest.free / GIGABYTE:.1f} GB are free where {tightest.role} is ({tightest.path}).",
        f"An hour of film takes about {HOUR_BYTES / GIGABYTE:.0f} GB while it is worked on, most of it until its stems "
        "are written.",
        f"Make room, or choose another folder with {tightest.option}.",
    )


def model_damaged(host: HostFacts) -> Finding | None:
    damaged = [model for model in host.models if model.trouble == "damaged"]
    if not damaged:
        return None
    names = " ".join(model.name for model in damaged)
    return Finding(
        "model-damaged",
        "error",
        f"Model files are not what the catalog says: {_some(f'{m.name}/{file}' for m in damaged for file in m.files)}.",
        "They were changed or cut short after they had been fetched.",
        f"Run `stemscribe models fetch {names}`.",
        fixable=True,
    )


def model_missing(host: HostFacts) -> Finding | None:
    missing = [model.name for model in host.models if model.trouble == "missing"]
    if not missing:
        return None
    return Finding(
        "model-missing",
        "warning",
        f"Not fetched yet: {', '.join(missing)}.",
        "The first job fetches what it needs, which takes a network and some minutes.",
        f"Nothing; or now: `stemscribe models fetch {' '.join(missing)}`.",
    )


def npm_missing(host: HostFacts) -> Finding | None:
    wanting = [model.name for model in host.models if model.trouble and model.needs_npm]
    if host.npm or not wanting:
        return None
    return Finding(
        "npm-missing",
        "warning",
        f"There is no npm, and {', '.join(wanting)} comes inside an npm package.",
        "The only other source is a CDN that serves such packages over https.",
        "Nothing, if the CDN can be reached from here; else install Node.js, which brings npm.",
    )


RULES: tuple[Rule, ...] = (
    environment_missing,
    folder_closed,
    interpreter_missing,
    interpreter_foreign,
    half_made,
    cannot_look,
    torchaudio_without_torchcodec,
    releases_differ,
    abi_mismatch,
    torchcodec_without_ffmpeg,
    torchcodec_of_another_release,
    no_audio_backend,
    numpy_too_new,
    library_missing,
    packages_damaged,
    files_unreadable,
    installed_twice,
    module_shadowed,
    import_fails,
    drifted,
    torch_mute,
    gpu_fails,
    driver_too_old,
    gpu_not_used,
    cuda_without_driver,
    mps_incomplete,
    made_by_hand,
    unsafe_load,
)

HOST_RULES: tuple[HostRule, ...] = (folder_unwritable, disk_full, model_damaged, model_missing, npm_missing)


# --- words and numbers ---------------------------------------------------------------------------


def _venv(facts: EnvironmentFacts) -> str:
    return f"venv/{facts.name}"


def _anew(facts: EnvironmentFacts) -> str:
    return f"Run `stemscribe doctor --env {facts.name} --fix`."


def _release(version: str) -> tuple[int, ...]:
    """The first two numbers of a version; nothing for nothing, which is less than any."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:2])


def _version(name: str, facts: EnvironmentFacts) -> str:
    """A module's own word, which has the suffix of its build; else what was installed."""
    return facts.modules.get(name, ModuleFacts()).version or facts.distributions.get(name, "")


def _suffixes(builds: Iterable[str]) -> set[str]:
    """The suffixes of builds that have one, as in `cu124`."""
    return {suffix for build in builds if (suffix := build.partition("+")[2])}


def _oldest(cuda: str) -> str:
    return f"{OLDEST_DRIVERS.get(_release(cuda)[0], max(OLDEST_DRIVERS.values()))}"


def _is_old_driver(facts: EnvironmentFacts, host: HostFacts) -> bool:
    torch = facts.torch
    if torch is None or not torch.cuda_build:
        return False
    number = _release(host.driver)
    return bool(OLD_DRIVER.search(torch.cuda_error)) or bool(number and number[0] < int(_oldest(torch.cuda_build)))


def _codec_severity(facts: EnvironmentFacts) -> Severity:
    """Without torchcodec only a torchaudio that depends on it is broken."""
    return "error" if _release(facts.distributions.get("torchaudio", "")) >= TORCHCODEC_SINCE else "warning"


def _codec_advice(facts: EnvironmentFacts, otherwise: str) -> str:
    if _codec_severity(facts) == "error":
        return f"{_anew(facts)} Or: {otherwise[0].lower()}{otherwise[1:]}."
    return f"{otherwise}, or uninstall torchcodec: nothing here needs it."


def _is_full(error: str) -> bool:
    """Whether a disk was full, which a new environment would make no better."""
    return bool(re.search(DISK_FULL.signs, error))


def _is_explained(name: str, module: ModuleFacts, facts: EnvironmentFacts) -> bool:
    """Whether another rule than the last one speaks of a failed import."""
    return name == "torchcodec" or bool(
        ABI.search(module.error) or NO_LIBRARY.search(module.error) or NUMPY_ABI.search(module.error)
    )


def _slack(folder: FolderFacts) -> int:
    return folder.free - HOUR_BYTES


def _errors(broken: Mapping[str, str]) -> str:
    """Which modules cannot be imported, and why; those that fail for the same reason together."""
    reasons = dict.fromkeys(broken.values())
    named = (
        (", ".join(f"`{name}`" for name, error in broken.items() if error == reason), reason) for reason in reasons
    )
    return _some(f"{names} ({_quote(reason)})" for names, reason in named)


def _some(items: Iterable[str]) -> str:
    listed = list(items)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


def _quote(text: str) -> str:
    short = text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "…"
    return short.rstrip(".")
