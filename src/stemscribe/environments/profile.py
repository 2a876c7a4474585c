"""The recipe of an environment: what goes into it, and what must work in it before it counts as made."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from stemscribe.environments.interpreter import SUPPORTED, Interpreter, dotted, parse_minor

CORE = "core"
TESTS = "tests"
DEMUCS = "demucs"
PROFILES = Path(__file__).with_name("profiles.toml")
DIGEST_LENGTH = 16
CPU_BUILD = "+cpu"  # the suffix of versions in an index of builds for CPUs

# Distribution -> the module by which it is proven. A test holds this table against pyproject.toml.
CORE_MODULES = {
    "av": "av",
    "click": "click",
    "fastapi": "fastapi",
    "faster-whisper": "faster_whisper",
    "filelock": "filelock",
    "httpx": "httpx",
    "jinja2": "jinja2",
    "jiwer": "jiwer",
    "langcodes": "langcodes",
    "msgspec": "msgspec",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "pip": "pip",
    "platformdirs": "platformdirs",
    "psutil": "psutil",
    "pygal": "pygal",
    "pysubs2": "pysubs2",
    "rapidfuzz": "rapidfuzz",
    "rich": "rich",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "uvicorn": "uvicorn",
}
TESTS_MODULES = {
    "axe-playwright-python": "axe_playwright_python",
    "hypothesis": "hypothesis",
    "import-linter": "importlinter",
    "mypy": "mypy",
    "pip-audit": "pip_audit",
    "playwright": "playwright.sync_api",
    "pytest": "pytest",
    "pytest-xdist": "xdist",
    "ruff": "ruff",
    "safetensors": "safetensors",
    "schemathesis": "schemathesis",
    "uv": "uv",
}


@dataclass(frozen=True)
class CpuBuild:
    """Builds of some packages without what only a GPU needs, in an index of their own.

    Attributes:
        index: the address of the index.
        packages: the distributions that it has a build `+cpu` of.
        without: patterns of the names of distributions that are not needed then.
        saves_gigabytes: by how much smaller the environment is then.
    """

    index: str
    packages: tuple[str, ...]
    without: tuple[str, ...]
    saves_gigabytes: float

    def replaces(self, name: str) -> bool:
        """Whether a distribution of the lock is not installed from the lock then."""
        return name in self.packages or self.omits(name)

    def omits(self, name: str) -> bool:
        """Whether a distribution of the lock is not needed at all then."""
        return any(fnmatchcase(name, pattern) for pattern in self.without)


@dataclass(frozen=True)
class EnvironmentProfile:
    """A recipe for one environment.

    Attributes:
        name: of the recipe.
        requirements: the hash-locked requirements that it holds, all of them and no others.
        modules: what must import in it: pairs of distribution and module.
        project: the folder of the project to install into it, in place; `None` for an environment without it.
        environment: the name of its folder under `venv/`; empty: that of the recipe. An environment may have several
            recipes, of which one is chosen.
        pythons: the versions of Python that it can be made with.
        platforms: as `Interpreter.platform` names them; empty: whichever stemscribe runs on.
        built: distributions that exist as source only.
        exact: distributions that must be of the locked version, where the environment was made by hand; empty: all that
            `modules` names.
        builders: distributions that build them, and are of no importance later.
        cpu: smaller builds for computers without a GPU, where there are any.
        gigabytes: how much space it takes at most.
        why: what makes one choose it, in a few words.
    """

    name: str
    requirements: Path
    modules: tuple[tuple[str, str], ...]
    project: Path | None = None
    environment: str = ""
    pythons: tuple[tuple[int, int], ...] = SUPPORTED
    platforms: tuple[str, ...] = ()
    built: tuple[str, ...] = ()
    builders: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    cpu: CpuBuild | None = None
    gigabytes: float = 1.5
    why: str = ""

    def __post_init__(self) -> None:
        if not self.environment:
            object.__setattr__(self, "environment", self.name)

    def fits(self, python: Interpreter) -> bool:
        """Whether the environment can be made with this Python, on its platform."""
        return python.is_one_of(self.pythons) and (not self.platforms or python.platform in self.platforms)

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


def base_profiles(root: Path) -> dict[str, EnvironmentProfile]:
    """The recipes of the project in the folder `root` that can be read before anything is installed."""
    core = tuple(pair for pair in CORE_MODULES.items() if has_wheels(pair[0]))
    tests = tuple(TESTS_MODULES.items())
    return {
        CORE: EnvironmentProfile(CORE, root / "requirements" / "core.txt", core, root),
        TESTS: EnvironmentProfile(TESTS, root / "requirements" / "tests.txt", core + tests, root),
    }


def torch_profiles(root: Path) -> dict[str, EnvironmentProfile]:
    """The recipes for `venv/demucs`, in the order in which they are tried.

    Raises:
        ImportError: this Python cannot read TOML: it is older than 3.11, and tomli is not installed.
    """
    content = read_recipes()
    index = content["cpu_index"]
    return {name: _torch_profile(root, name, table, index) for name, table in content[DEMUCS].items()}


def read_recipes() -> dict[str, Any]:
    """The content of profiles.toml.

    Raises:
        ImportError: see `torch_profiles`.
    """
    from stemscribe.toml import parse_toml

    return parse_toml(PROFILES.read_text(encoding="utf-8"))


def profiles(root: Path) -> dict[str, EnvironmentProfile]:
    """All recipes of the project in the folder `root`, by name; `environment` says which folder one is for.

    Raises:
        ImportError: see `torch_profiles`.
    """
    return {**base_profiles(root), **torch_profiles(root)}


def _torch_profile(root: Path, name: str, table: dict[str, Any], index: str) -> EnvironmentProfile:
    cpu = table["cpu"]
    return EnvironmentProfile(
        name=name,
        requirements=root / table["requirements"],
        modules=tuple(table["modules"].items()),
        environment=DEMUCS,
        pythons=tuple(parse_minor(text) for text in table["pythons"]),
        platforms=tuple(table["platforms"]),
        built=tuple(table["built"]),
        builders=tuple(table["builders"]),
        exact=tuple(table["exact"]),
        cpu=CpuBuild(index, tuple(cpu["packages"]), tuple(cpu["without"]), float(cpu["saves_gigabytes"])),
        gigabytes=float(table["gigabytes"]),
        why=table["why"],
    )


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
