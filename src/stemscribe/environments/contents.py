"""What goes into an environment, in which order and from where: the lock, taken apart.

Most of a lock are wheels. A few distributions exist as source only; they come after what builds them. And where a
smaller build of torch will do, torch and its companions come from another index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from stemscribe.environments.gpu import nvidia_gpu
from stemscribe.environments.index import PLATFORM, cpu_requirements, is_installed, offers
from stemscribe.environments.installed import all_versions
from stemscribe.environments.installer import Installer
from stemscribe.environments.interpreter import Interpreter
from stemscribe.environments.profile import EnvironmentProfile
from stemscribe.environments.requirements import select
from stemscribe.environments.tool import ToolRunner


@dataclass(frozen=True)
class Contents:
    """A lock, taken apart.

    Attributes:
        wheels: the part of it that is installed from wheels.
        sources: the part that is built; empty where there is none.
        index: the address of another index.
        from_index: what is installed from there.
    """

    wheels: str
    sources: str = ""
    index: str = ""
    from_index: tuple[str, ...] = ()

    def install(self, installer: Installer, venv: Path, tool: ToolRunner) -> None:
        """Put all of it into an environment.

        Raises:
            ToolFailed: a step failed; it can be done again.
        """
        with TemporaryDirectory() as folder:
            wheels = Path(folder) / "wheels.txt"
            wheels.write_text(self.wheels, encoding="utf-8")
            installer.install(venv, wheels, tool, alone=not (self.sources or self.from_index))
            if self.sources:
                sources = Path(folder) / "sources.txt"
                sources.write_text(self.sources, encoding="utf-8")
                installer.build(venv, sources, tool)
        if self.from_index:
            installer.install_from(venv, self.index, self.from_index, tool)


def contents(profile: EnvironmentProfile, venv: Path, python: Interpreter, tell: Callable[[str], None]) -> Contents:
    """What goes into the environment of a profile on this computer.

    Args:
        profile: the recipe.
        venv: the environment, which may hold some of it already.
        python: the Python that it is made with.
        tell: called with what was found out about smaller builds.
    """
    lock = profile.requirements.read_text(encoding="utf-8")
    sources = select(lock, lambda name: name in profile.built)
    small = _small_build(profile, lock, venv, python, tell)
    if profile.cpu is None or not small:
        return Contents(select(lock, lambda name: name not in profile.built), sources)
    replaces = profile.cpu.replaces
    wheels = select(lock, lambda name: name not in profile.built and not replaces(name))
    return Contents(wheels, sources, profile.cpu.index, small)


def _small_build(
    profile: EnvironmentProfile, lock: str, venv: Path, python: Interpreter, tell: Callable[[str], None]
) -> tuple[str, ...]:
    """What to install from PyTorch's index of builds for CPUs; empty where the lock's own builds are the ones to
    take.
    """
    build = profile.cpu
    if build is None or python.platform != PLATFORM or nvidia_gpu() is not None:
        return ()
    wanted = cpu_requirements(build, lock, python)
    present = all_versions(venv)
    if is_installed(wanted, present):
        return wanted
    if is_installed(tuple(requirement.partition("+")[0] for requirement in wanted), present):
        return ()  # what it needs was downloaded already, and would stay
    if offers(build, wanted):
        tell(f"No NVIDIA GPU here: taking PyTorch's build for CPUs, which saves {build.saves_gigabytes:.1f} GB.")
        return wanted
    tell(
        f"PyTorch's index of builds for CPUs cannot be reached ({build.index}); taking the default build, "
        f"which needs {build.saves_gigabytes:.1f} GB more."
    )
    return ()
