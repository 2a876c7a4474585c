"""The house keeps its shape: what DESIGN promises of imports, printing and the environment."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stemscribe

SOURCE = Path(stemscribe.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
FRONT_DOORS = {"cli"}
# The set-up runs before anything is installed, and so it is a front door of its own.
SET_UP = SOURCE / "environments"
# A program under another Python, in which nothing of ours is installed.
TORCH_WORKER = SOURCE / "separation" / "engines" / "demucs_torch_worker.py"
# Where libraries are kept from telling their makers that they are used.
QUIET = SOURCE / "__init__.py"
HEAVY = {"torch", "onnxruntime", "openvino", "faster_whisper", "ctranslate2"}
# Its class inherits from one of faster-whisper's: so it is imported in functions, as that is.
HEAVY_ITSELF = SOURCE / "speech" / "reading.py"


def calls(tree: ast.AST) -> set[str]:
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nobody_below_the_front_doors_prints_or_reads_the_environment(path: Path) -> None:
    if SET_UP in path.parents or path in {TORCH_WORKER, QUIET}:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path != SOURCE / "cli" / "console.py":
        assert "print" not in calls(tree)
    if not FRONT_DOORS & set(path.relative_to(SOURCE).parts):
        environment = {"environ", "getenv", "putenv"}
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in environment]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_heavy_packages_are_imported_in_functions_of_the_file_named_after_them(path: Path) -> None:
    if path == HEAVY_ITSELF:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith(f"speech.{HEAVY_ITSELF.stem}"):
            assert node not in top, f"{node.module} at the top of {path.name}"
            assert path.stem == "faster_whisper"
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for package in {name.partition(".")[0] for name in names} & HEAVY:
            assert node not in top, f"{package} at the top of {path.name}"
            # CTranslate2 is what faster-whisper runs on.
            home = {"ctranslate2": "faster_whisper", "torch": TORCH_WORKER.stem}.get(package, package)
            assert path.stem == home


def test_imports_point_down_only() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=SOURCE.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_module_is_a_drawer() -> None:
    assert not {"utils", "helpers", "common", "misc"} & {path.stem for path in MODULES}
