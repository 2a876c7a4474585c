"""The recipe of an environment: what goes into it, and what must work in it before it counts as made."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stemscribe.environments.interpreter import Interpreter, dotted

CORE = "core"
TESTS = "tests"
DIGEST_LENGTH = 16

# Distribution -> the module by which it is proven. A test holds this table against pyproject.toml.
CORE_MODULES = {
    "av": "av",
    "click": "click",
    "faster-whisper": "faster_whisper",
    "filelock": "filelock",
    "httpx": "httpx",
    "langcodes": "langcodes",
    "msgspec": "msgspec",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "pip": "pip",
    "platformdirs": "platformdirs",
    "pysubs2": "pysubs2",
    "rich": "rich",
    "soundfile": "soundfile",
    "soxr": "soxr",
}
TESTS_MODULES = {
    "hypothesis": "hypothesis",
    "import-linter": "importlinter",
    "jiwer": "jiwer",
    "mypy": "mypy",
    "psutil": "psutil",
    "pytest": "pytest",
    "ruff": "ruff",
}


@dataclass(frozen=True)
class EnvironmentProfile:
    """A recipe for one environment.

    Attributes:
        name: also the name of its folder under `venv/`.
        requirements: the hash-locked requirements that it holds, all of them and no others.
        modules: what must import in it: pairs of distribution and module.
        project: the folder of the project to install into it, in place; `None` for an environment without it.
    """

    name: str
    requirements: Path
    modules: tuple[tuple[str, str], ...]
    project: Path | None = None

    def digest(self, python: Interpreter) -> str:
        """What the environment's packages depend on: the lock, the Python, the platform. Results may be keyed by it."""
        bound_to = f"{python.implementation}-{dotted(python.minor)} {python.platform}"
        return _sha256(self.requirements.read_bytes(), bound_to.encode())

    def project_digest(self) -> str:
        """What the installed project depends on apart from its code, which is used where it lies.

        It is kept apart from `digest`, so that a new version of stemscribe does not make results of the same
        packages look outdated.
        """
        if self.project is None:
            return ""
        metadata = "\n".join(project_metadata((self.project / "pyproject.toml").read_text(encoding="utf-8")))
        version = (self.project / "src" / "stemscribe" / "__init__.py").read_bytes()
        return _sha256(metadata.encode(), version)


def profiles(root: Path) -> dict[str, EnvironmentProfile]:
    """The environments of the project in the folder `root`, by name."""
    core = tuple(pair for pair in CORE_MODULES.items() if has_wheels(pair[0]))
    tests = tuple(TESTS_MODULES.items())
    return {
        CORE: EnvironmentProfile(CORE, root / "requirements" / "core.txt", core, root),
        TESTS: EnvironmentProfile(TESTS, root / "requirements" / "tests.txt", core + tests, root),
    }


def has_wheels(name: str, system: str = platform.system(), machine: str = platform.machine()) -> bool:
    """Whether a distribution exists for a platform; the same rule as the markers in pyproject.toml."""
    return name != "openvino" or system != "Darwin" or machine == "arm64"


def project_metadata(pyproject: str) -> Iterator[str]:
    """The lines of a pyproject.toml that an installation depends on: its build system and its project tables.

    The tools' settings change often and do not matter to an installation. Python 3.10 has no TOML reader, and none is
    needed to tell one table from the next.
    """
    wanted = False
    for line in pyproject.splitlines():
        if line.startswith("["):
            wanted = line.startswith(("[build-system", "[project"))
        if wanted:
            yield line.rstrip()


def _sha256(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:DIGEST_LENGTH]
