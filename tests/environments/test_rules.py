"""Guards environments/rules.py: for each rule, facts in which it speaks, and the same without the fault."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from stemscribe.environments import rules
from stemscribe.environments.drift import Drift
from stemscribe.environments.facts import EnvironmentFacts, FolderFacts, HostFacts, ModelFacts, ModuleFacts, TorchFacts
from stemscribe.environments.rules import HOST_RULES, RULES, findings, host_findings

MODULES = {
    "torch": ModuleFacts("2.6.0+cu124", "torch/__init__.py"),
    "torchaudio": ModuleFacts("2.6.0+cu124", "torchaudio/__init__.py"),
    "numpy": ModuleFacts("2.4.6", "numpy/__init__.py"),
    "soundfile": ModuleFacts("0.14.0", "soundfile.py"),
    "demucs.htdemucs": ModuleFacts("", "demucs/htdemucs.py"),
}
SOUND = EnvironmentFacts(
    "demucs",
    Path("venv/demucs"),
    required=tuple(MODULES),
    made_at="/here/venv/demucs",
    profile="pinned",
    python="3.11.7",
    distributions={"torch": "2.6.0", "torchaudio": "2.6.0", "numpy": "2.4.6", "soundfile": "0.14.0", "demucs": "4.0.1"},
    modules=MODULES,
    torch=TorchFacts("2.6.0+cu124", "12.4", cuda_available=True, devices=("NVIDIA L4",)),
    backends=("soundfile",),
)
GPU = HostFacts(driver="550.54.14", gpus=("NVIDIA L4",), has_nvidia_device=True)
UNDEFINED = "OSError: libtorchaudio.so: undefined symbol: _ZN3c105ErrorC2E"


def installed(**versions):
    """The sound environment with other versions; an empty one is not installed."""
    merged = {**SOUND.distributions, **versions}
    modules = {name: replace(m, version=merged.get(name, m.version)) for name, m in MODULES.items()}
    return replace(SOUND, distributions={n: v for n, v in merged.items() if v}, modules=modules)


def imports(**errors):
    return replace(SOUND, modules={**MODULES, **{name: ModuleFacts(error=error) for name, error in errors.items()}})


def torch(**changes):
    return replace(SOUND, torch=replace(SOUND.torch, cuda_available=False, **changes))


def names(facts, host=GPU):
    return [finding.rule for finding in findings(facts, host)]


CASES = [
    (
        "environment-missing",
        EnvironmentFacts("demucs", Path("x"), is_there=False, is_proven=False),
        "There is no venv/demucs.",
    ),
    (
        "folder-closed",
        replace(SOUND, closed="bin", interpreter="x"),
        "venv/demucs cannot be used: bin may not be read.",
    ),
    ("interpreter-missing", replace(SOUND, interpreter="bin/python is missing"), "bin/python is missing"),
    ("interpreter-foreign", replace(SOUND, made_at="/there", is_at_home=False), "was made in /there, and moved"),
    ("half-made", replace(SOUND, is_proven=False), "is half-made: it has no marker"),
    ("made-by-hand", replace(SOUND, made_at="", is_at_home=False, is_proven=False), "was made by hand"),
    ("cannot-look", replace(SOUND, inspection_error="ValueError: no"), "ValueError: no"),
    (
        "torchaudio-without-torchcodec",
        installed(torch="2.9.1", torchaudio="2.9.1"),
        "torchaudio 2.9.1 without torchcodec",
    ),
    ("releases-differ", installed(torchaudio="2.5.1"), "torch 2.6.0 with torchaudio 2.5.1"),
    ("abi-mismatch", imports(torchaudio=UNDEFINED), "undefined symbol"),
    ("no-audio-backend", replace(SOUND, backends=()), "no soundfile, no SoX, no FFmpeg"),
    ("numpy-too-new", installed(torch="2.2.2", torchaudio="2.2.2", numpy="2.0.0"), "NumPy 2.0.0 with torch 2.2.2"),
    ("numpy-apart", torch(numpy_error="RuntimeError: Numpy is not available"), "Numpy is not available"),
    ("library-missing", imports(torch="OSError: libcublas.so.12: cannot open shared object file"), "libcublas.so.12"),
    ("packages-damaged", replace(SOUND, damaged={"torch": "torch/x.py is missing"}), "torch (torch/x.py is missing)"),
    ("files-unreadable", replace(SOUND, unreadable={"numpy": "numpy/x.so"}), "numpy/x.so of numpy"),
    ("installed-twice", replace(SOUND, repeated={"numpy": ("1.26.4", "2.4.6")}), "numpy (1.26.4 and 2.4.6)"),
    (
        "module-shadowed",
        replace(SOUND, modules={"numpy": ModuleFacts("", "/x/numpy.py", foreign=True)}),
        "`numpy` from /x/numpy.py",
    ),
    ("import-fails", imports(soundfile="Crash: its Python died of SIGSEGV"), "`soundfile` (Crash"),
    (
        "requirements-drifted",
        replace(SOUND, drifted=(Drift("torch", "2.6.0", "2.5.1"),)),
        "torch is 2.6.0 and should be 2.5.1",
    ),
    ("torch-mute", torch(error="Crash: its Python died of SIGABRT"), "SIGABRT"),
    (
        "gpu-fails",
        replace(SOUND, torch=replace(SOUND.torch, cuda_error="RuntimeError: no kernel image")),
        "no kernel image",
    ),
    ("gpu-not-used", torch(cuda_error="RuntimeError: unknown error"), "an NVIDIA L4"),
    ("mps-incomplete", torch(mps_available=True, mps_error="NotImplementedError: aten::x"), "this Mac's GPU"),
    ("torch-load", installed(torch="2.5.1", torchaudio="2.5.1"), "CVE-2025-32434"),
]


@pytest.mark.parametrize(("rule", "facts", "evidence"), CASES, ids=[case[0] for case in CASES])
def test_a_fault_is_recognised_by_its_rule(rule, facts, evidence):
    found = {finding.rule: finding for finding in findings(facts, GPU)}
    assert rule in found
    assert evidence in found[rule].what


def test_a_sound_environment_gives_no_finding():
    assert findings(SOUND, GPU) == ()


def test_every_rule_is_tried_here():
    """What a rule can say, it says in a case or in a test below."""
    tried = Path(__file__).read_text(encoding="utf-8")
    source = Path(rules.__file__).read_text(encoding="utf-8")
    said = set(re.findall(r'Finding\(\s+"([a-z0-9-]+)"', source)) | {"numpy-too-new", "disk-full"}
    assert len(said) >= len(RULES) + len(HOST_RULES)
    assert [name for name in said if f'"{name}"' not in tried] == []


def test_every_finding_has_three_sentences_and_errors_can_be_acted_on():
    for _, facts, _ in CASES:
        for finding in findings(facts, GPU):
            for sentence in (finding.what, finding.why, finding.what_to_do):
                assert sentence.rstrip("`").endswith("."), sentence


def test_torchaudio_2_9_with_torchcodec_is_fine():
    facts = installed(torch="2.9.1", torchaudio="2.9.1", torchcodec="0.9.1")
    assert names(replace(facts, modules={**facts.modules, "torchcodec": ModuleFacts("0.9.1", "x")})) == []


def test_without_torchaudio_nothing_is_asked_of_it():
    """The modern profile."""
    facts = installed(torch="2.13.0", torchaudio="", demucs="4.1.0")
    modules = {name: module for name, module in facts.modules.items() if name != "torchaudio"}
    assert names(replace(facts, modules=modules, backends=None)) == []


@pytest.mark.parametrize(
    ("torchaudio", "ffmpeg", "rule", "severity"),
    [
        ("2.9.1", (), "torchcodec-without-ffmpeg", "error"),
        ("2.6.0", (), "torchcodec-without-ffmpeg", "warning"),
        ("2.9.1", ("avutil",), "torchcodec-release", "error"),
        ("2.6.0", ("avutil",), "torchcodec-release", "warning"),
    ],
)
def test_a_torchcodec_that_cannot_be_loaded_matters_where_torchaudio_needs_it(torchaudio, ffmpeg, rule, severity):
    facts = installed(torch=torchaudio, torchaudio=torchaudio, torchcodec="0.9.1")
    broken = ModuleFacts(error="RuntimeError: Could not load libtorchcodec.")
    found = findings(replace(facts, modules={**facts.modules, "torchcodec": broken}, ffmpeg=ffmpeg), GPU)
    assert [(finding.rule, finding.severity) for finding in found] == [(rule, severity)]


def test_builds_for_different_cuda_releases_differ():
    modules = {**MODULES, "torchaudio": ModuleFacts("2.6.0+cpu", "x")}
    assert names(replace(SOUND, modules=modules)) == ["releases-differ"]
    modules = {**MODULES, "torchaudio": ModuleFacts("2.6.0", "x")}  # as on macOS, without a suffix
    assert names(replace(SOUND, modules=modules)) == []


def test_failures_with_one_cause_are_told_once():
    error = "ModuleNotFoundError: No module named 'torch.nn'"
    facts = imports(torch=error, torchaudio=error)
    assert [finding.what for finding in findings(facts, GPU)] == [
        f"venv/demucs cannot import `torch`, `torchaudio` ({error})."
    ]


def test_what_is_not_installed_is_told_by_the_lock_alone():
    facts = imports(soundfile="ModuleNotFoundError: No module named 'soundfile'")
    assert names(replace(facts, drifted=(Drift("soundfile", "", "0.14.0"),))) == ["requirements-drifted"]


def test_other_packages_may_be_of_other_versions():
    (finding,) = findings(replace(SOUND, drifted=(Drift("filelock", "3.1", "3.2", vital=False),)), GPU)
    assert (finding.severity, finding.fixable) == ("warning", False)


@pytest.mark.parametrize(
    ("facts", "host", "rule", "severity"),
    [
        (torch(), HostFacts(), "cuda-without-gpu", "note"),
        (torch(), HostFacts(has_nvidia_device=True), "driver-missing", "warning"),
        (torch(), replace(GPU, driver="470.1"), "driver-too-old", "warning"),
        (
            torch(cuda_error="RuntimeError: The NVIDIA driver on your system is too old"),
            GPU,
            "driver-too-old",
            "warning",
        ),
        (torch(cuda_build=""), GPU, "gpu-not-used", "warning"),
        (torch(cuda_build=""), HostFacts(), None, None),
    ],
)
def test_gpus(facts, host, rule, severity):
    found = [(finding.rule, finding.severity) for finding in findings(facts, host)]
    assert found == ([(rule, severity)] if rule else [])


def folder(free, refusal=""):
    return FolderFacts("the out folder", Path("out"), "--out-dir", free, refusal)


@pytest.mark.parametrize(
    ("host", "rule", "severity"),
    [
        (HostFacts(folders=(folder(5 * 10**9),)), None, None),
        (HostFacts(folders=(folder(5 * 10**9 - 1),)), "disk-nearly-full", "warning"),
        (HostFacts(folders=(folder(10**9),)), "disk-nearly-full", "warning"),
        (HostFacts(folders=(folder(10**9 - 1),)), "disk-full", "error"),
        (HostFacts(folders=(folder(0, "Permission denied"),)), "folder-unwritable", "error"),
        (HostFacts(models=(ModelFacts("htdemucs", "damaged", ("htdemucs.onnx",)),)), "model-damaged", "error"),
        (HostFacts(models=(ModelFacts("htdemucs", "missing"),)), "model-missing", "warning"),
        (HostFacts(npm=False, models=(ModelFacts("htdemucs", needs_npm=True),)), None, None),
    ],
)
def test_the_machine(host, rule, severity):
    found = [(finding.rule, finding.severity) for finding in host_findings(host)]
    assert found == ([(rule, severity)] if rule else [])


def test_npm_is_missed_where_a_model_comes_through_it():
    missing = ModelFacts("htdemucs", "missing", ("htdemucs.onnx",), needs_npm=True)
    assert [f.rule for f in host_findings(HostFacts(npm=False, models=(missing,)))] == ["model-missing", "npm-missing"]


def test_the_founding_bug_in_its_own_words():
    (finding,) = findings(installed(torch="2.9.1", torchaudio="2.9.1"), GPU)
    assert finding.what == "venv/demucs has torchaudio 2.9.1 without torchcodec: `torchaudio.save` raises ImportError."
    assert (finding.severity, finding.fixable) == ("error", True)
    assert finding.what_to_do == "Run `stemscribe doctor --env demucs --fix`."
