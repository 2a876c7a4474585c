"""Guards environments/inspection.py and facts.py: real environments, with packages as small as they can be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from stemscribe.environments import facts as facts_module
from stemscribe.environments import inspection
from stemscribe.environments.facts import INSPECTION, EnvironmentFacts, HostFacts, look, profile_for
from stemscribe.environments.interpreter import python_in
from stemscribe.environments.marker import Marker, claim, is_made_by_hand, write_marker
from stemscribe.environments.profile import EnvironmentProfile
from stemscribe.environments.rules import findings
from stemscribe.environments.tree import stamp

# As much of torch as is asked for: a build for CUDA on a machine without.
TORCH = """
__version__ = "2.5.1+cu124"
class version: cuda = "12.4"
class cuda:
    def is_available(): return False
    def init(): raise RuntimeError("Found no NVIDIA driver on your system.")
class backends:
    class mps:
        def is_built(): return True
        def is_available(): return False
def compiled_with_cxx11_abi(): return False
class zeros:
    def __init__(self, size): pass
    def numpy(self): raise RuntimeError("Numpy is not available")
"""
TORCHAUDIO = "import torch\n__version__ = '2.5.1+cu124'\ndef list_audio_backends(): return ['soundfile']\n"
SOURCES = {"torch": TORCH, "torchaudio": TORCHAUDIO, "numpy": "__version__ = '2.4.6'\n", "soundfile": "import numpy\n"}
VERSIONS = {"torch": "2.5.1", "torchaudio": "2.5.1", "numpy": "2.4.6", "soundfile": "0.14.0"}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """An environment with packages in it that are one file each."""
    venv = tmp_path_factory.mktemp("venv") / "demucs"
    subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", str(venv)], check=True)
    for name, source in SOURCES.items():
        install(site(venv), name, VERSIONS[name], source)
    return venv


def site(venv):
    return next(venv.rglob("site-packages"))


def install(folder, name, version, source):
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{name}/__init__.py,sha256=x,{len(source)}\n{info.name}/METADATA,,\n")


@pytest.fixture
def venv(template, tmp_path):
    copy = tmp_path / "venv" / "demucs"
    shutil.copytree(template, copy, symlinks=True)
    claim(copy)
    write_marker(copy, Marker("pinned", "digest", "", "Python 3", "pip", {}))
    return copy


@pytest.fixture
def profile(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("".join(f"{name}=={version}\n" for name, version in VERSIONS.items()))
    return EnvironmentProfile("pinned", lock, tuple((name, name) for name in SOURCES), environment="demucs")


def rules(facts: EnvironmentFacts):
    ignored = {"numpy-apart", "cuda-without-gpu", "torch-load"}  # what the small torch is made to show
    return [finding.rule for finding in findings(facts, HostFacts()) if finding.rule not in ignored]


def test_a_sound_environment_is_known_through_and_through(venv, profile):
    facts = look("demucs", venv, profile, os.environ)
    assert rules(facts) == []
    assert facts.distributions == VERSIONS
    assert facts.python == ".".join(map(str, sys.version_info[:3]))
    assert {name: module.version for name, module in facts.modules.items()} == {
        "torch": "2.5.1+cu124",
        "torchaudio": "2.5.1+cu124",
        "numpy": "2.4.6",
        "soundfile": "",
    }
    assert facts.torch is not None
    assert facts.torch.cuda_error == "RuntimeError: Found no NVIDIA driver on your system."
    assert facts.torch.numpy_error == "RuntimeError: Numpy is not available"
    assert (facts.torch.cuda_build, facts.torch.cuda_available, facts.torch.mps_built) == ("12.4", False, True)
    assert facts.backends == ("soundfile",)


def delete_a_file(venv):
    (site(venv) / "numpy" / "__init__.py").unlink()


def cut_a_file(venv):
    path = site(venv) / "soundfile" / "__init__.py"
    path.write_text(path.read_text()[:-1])


def take_rights(venv):
    (site(venv) / "soundfile" / "__init__.py").chmod(0)


def uninstall(venv):
    shutil.rmtree(site(venv) / "soundfile")
    shutil.rmtree(site(venv) / "soundfile-0.14.0.dist-info")


def shadow(venv):
    stray = venv / "stray"
    stray.mkdir()
    (stray / "soundfile.py").write_text("")
    (site(venv) / "first.pth").write_text(f"import sys; sys.path.insert(0, {str(stray)!r})\n")


def install_twice(venv):
    info = site(venv) / "numpy-1.26.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.26.4\n")
    (info / "RECORD").write_text(f"{info.name}/METADATA,,\n")


def crash(venv):
    replace_source(venv, "soundfile", "import os; os.abort()")


def replace_source(venv, name, source):
    """Other code that its RECORD knows."""
    path = site(venv) / name / "__init__.py"
    record = next(site(venv).glob(f"{name}-*.dist-info/RECORD"))
    record.write_text(record.read_text().replace(f",{path.stat().st_size}\n", f",{len(source)}\n"))
    path.write_text(source)


def upgrade(venv):
    for name in ("torch", "torchaudio"):
        shutil.rmtree(site(venv) / name)
        shutil.rmtree(site(venv) / f"{name}-2.5.1.dist-info")
        install(site(venv), name, "2.9.1", SOURCES[name].replace("2.5.1", "2.9.1"))


def delete_the_interpreter(venv):
    for name in ("python", "python3", f"python3.{sys.version_info[1]}"):
        (venv / "bin" / name).unlink(missing_ok=True)


def let_the_interpreter_dangle(venv):
    delete_the_interpreter(venv)
    (venv / "bin" / "python").symlink_to("/nowhere/python3")


def spoil_the_interpreter(venv):
    delete_the_interpreter(venv)
    (venv / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    (venv / "bin" / "python").chmod(0o755)


def move(venv):
    (venv / "stemscribe-location.txt").write_text("/elsewhere/venv/demucs\n")


def interrupt(venv):
    (venv / "stemscribe-environment.json").unlink()


def make_by_hand(venv):
    interrupt(venv)
    (venv / "stemscribe-location.txt").unlink()


def empty_it(venv):
    shutil.rmtree(venv)
    venv.mkdir()


@pytest.mark.skipif(os.name == "nt", reason="environments have another layout there")
@pytest.mark.parametrize(
    ("sabotage", "found"),
    [
        (delete_a_file, ["packages-damaged", "module-shadowed"]),
        (cut_a_file, ["packages-damaged"]),
        (take_rights, ["files-unreadable"]),
        (uninstall, ["requirements-drifted"]),
        (shadow, ["module-shadowed"]),
        (install_twice, ["installed-twice"]),
        (crash, ["import-fails"]),
        (upgrade, ["torchaudio-without-torchcodec", "requirements-drifted"]),
        (delete_the_interpreter, ["interpreter-missing"]),
        (let_the_interpreter_dangle, ["interpreter-missing"]),
        (spoil_the_interpreter, ["interpreter-missing"]),
        (move, ["interpreter-foreign"]),
        (interrupt, ["half-made"]),
        (make_by_hand, ["made-by-hand"]),
        (empty_it, ["environment-missing"]),
    ],
)
def test_sabotage_is_found(venv, profile, sabotage, found):
    sabotage(venv)
    seen = rules(look("demucs", venv, profile, os.environ))
    # An administrator can import what nobody may read; others cannot.
    assert [rule for rule in seen if not (sabotage is take_rights and rule == "import-fails")] == found


def test_what_is_wrong_with_an_interpreter_is_told(venv, profile):
    let_the_interpreter_dangle(venv)
    trouble = look("demucs", venv, profile, os.environ).interpreter
    assert trouble == "it leads to /nowhere/python3, which does not exist"
    spoil_the_interpreter(venv)
    assert look("demucs", venv, profile, os.environ).interpreter == "python does not start"


def test_a_crash_costs_its_own_line_and_nothing_else(venv, profile):
    replace_source(venv, "torch", "import os; os.abort()")
    modules = look("demucs", venv, profile, os.environ).modules
    assert modules["torch"].error.startswith("Crash: its Python died of SIGABRT")
    assert modules["torchaudio"].error.startswith("Crash")  # for it imports torch
    assert (modules["numpy"].error, modules["soundfile"].error) == ("", "")


def test_a_crash_of_torch_after_its_import_is_told(venv, profile):
    replace_source(venv, "torch", TORCH.replace('raise RuntimeError("Found', 'import os; os.abort(); ("'))
    facts = look("demucs", venv, profile, os.environ)
    assert facts.torch is not None
    assert "SIGABRT" in facts.torch.error
    assert facts.modules["torch"].error == ""
    assert "torch-mute" in rules(facts)


def test_an_import_that_hangs_is_given_up(venv):
    replace_source(venv, "soundfile", "import time; time.sleep(60)")
    code = f"import runpy, json; i = runpy.run_path({str(INSPECTION)!r}); r = {{}}; "
    code += "i['take_steps'](['soundfile', 'numpy'], r, 1.0); print(json.dumps(r))"
    answer = subprocess.run([str(python_in(venv)), "-I", "-c", code], capture_output=True, check=True)
    results = json.loads(answer.stdout)
    assert results["soundfile"] == {"error": "Timeout: no answer after 1 s"}
    assert results["numpy"]["version"] == "2.4.6"


def test_what_modules_print_does_not_spoil_the_answer(venv, profile):
    replace_source(venv, "soundfile", "print('talk', flush=True)")
    assert rules(look("demucs", venv, profile, os.environ)) == []


def test_a_companion_is_looked_at_where_it_is_installed(venv, profile):
    assert "torchcodec" not in look("demucs", venv, profile, os.environ).modules
    install(site(venv), "torchcodec", "0.9.1", "raise RuntimeError('Could not load libtorchcodec')")
    facts = look("demucs", venv, profile, os.environ)
    assert facts.error("torchcodec") == "RuntimeError: Could not load libtorchcodec"


def test_the_inspection_is_readable_by_an_old_python():
    import ast

    ast.parse(INSPECTION.read_text(encoding="utf-8"), feature_version=(3, 8))
    assert "stemscribe." not in INSPECTION.read_text(encoding="utf-8").replace("stemscribe and", "")
    assert inspection.STEP_SECONDS > 60


def test_an_environment_is_held_against_its_own_recipe(venv, profile, tmp_path):
    other = EnvironmentProfile("modern", profile.requirements, profile.modules, environment="demucs")
    old = EnvironmentProfile("old", profile.requirements, profile.modules, environment="demucs", pythons=((3, 1),))
    assert profile_for(venv, [other, profile]).name == "pinned"
    assert profile_for(tmp_path / "nothing", [old, other, profile]).name == "modern"
    assert profile_for(tmp_path / "nothing", [old]).name == "old"


@pytest.mark.parametrize("folder", [".", "bin", "lib"])
def test_a_folder_that_may_not_be_read_is_named(venv, profile, as_anybody, folder):
    (venv / folder).chmod(0)
    facts = as_anybody(lambda: look("demucs", venv, profile, os.environ))
    (finding,) = (each for each in findings(facts, HostFacts()) if each.severity == "error")
    named = str(venv) if folder == "." else folder
    assert finding.what == f"venv/demucs cannot be used: {named} may not be read."
    assert finding.fixable
    assert as_anybody(lambda: len(stamp(venv))) == 64
    assert as_anybody(lambda: is_made_by_hand(venv)) is False
    (venv / folder).chmod(0o755)


def test_an_inspection_that_fails_is_quoted(venv, profile, monkeypatch, tmp_path):
    (tmp_path / "inspection.py").write_text("print('talk')\nraise OSError(28, 'No space left on device')\n")
    monkeypatch.setattr(facts_module, "INSPECTION", tmp_path / "inspection.py")
    facts = look("demucs", venv, profile, os.environ)
    assert facts.inspection_error == "OSError: [Errno 28] No space left on device"
    (finding,) = (each for each in findings(facts, HostFacts()) if each.severity == "error")
    assert (finding.rule, finding.fixable) == ("cannot-look", False)
    assert finding.what_to_do.startswith("Make room on the disk")


def test_a_full_disk_for_temporary_files_is_told_and_not_mended(venv, profile, monkeypatch, tmp_path):
    """No child process can be started then, so no module has a result."""
    full = "import tempfile; tempfile.TemporaryFile = lambda: open('/dev/full', 'w').write('x' * 10**6)\n"
    copy = tmp_path / "inspection.py"
    copy.write_text(INSPECTION.read_text().replace("STEP = ", f"{full}STEP = ", 1))
    shutil.copy(INSPECTION.with_name("proof.py"), tmp_path)
    monkeypatch.setattr(facts_module, "INSPECTION", copy)
    facts = look("demucs", venv, profile, os.environ)
    assert facts.distributions == VERSIONS
    (finding,) = (each for each in findings(facts, HostFacts()) if each.severity == "error")
    assert (finding.rule, finding.fixable) == ("import-fails", False)
    assert "No space left on device" in finding.what
