"""Which recipe an environment is made from, where there are several.

What cannot be had on a computer is known before anything is downloaded: a recipe names its Pythons and platforms.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from stemscribe.environments.interpreter import Interpreter, choose, dotted, in_words, running_python
from stemscribe.environments.marker import is_claimed, made_from
from stemscribe.environments.profile import EnvironmentProfile
from stemscribe.errors import EnvironmentBroken, UsageError

WITHOUT = "Engine onnx separates without it: `--engine onnx`."


def choose_profile(
    recipes: Mapping[str, EnvironmentProfile],
    venv: Path,
    *,
    requested: str | None = None,
    requested_python: str | None = None,
    which: Callable[[str], str | None] = shutil.which,
) -> EnvironmentProfile:
    """The recipe for an environment.

    Args:
        recipes: all that the environment can be made from, by name, in the order in which they are preferred.
        venv: the folder of the environment, which may hold one already.
        requested: the name of the recipe that the user asked for.
        requested_python: the Python that the user named; see `interpreter.choose`.
        which: finds a program on the PATH.

    Returns:
        The requested one; else the one that the environment was made from, while that can be had; else the first that
        can be had.

    Raises:
        UsageError: there is no recipe of that name.
        EnvironmentBroken: it cannot be had with any Python here, or on this platform; the hint names what can be had.
    """
    if requested is not None and requested not in recipes:
        raise UsageError(f"There is no profile `{requested}`.", hint=f"There are: {', '.join(recipes)}.")
    obstacles = {name: obstacle(recipe, requested_python, which) for name, recipe in recipes.items()}
    possible = [name for name, found in obstacles.items() if not found]
    if requested is not None:
        if obstacles[requested]:
            raise _impossible(recipes[requested], obstacles[requested], possible)
        return recipes[requested]
    present = _made_from(venv, recipes)
    if present in possible:
        return recipes[present]
    if not possible:
        first = next(iter(recipes))
        raise _impossible(recipes[first], obstacles[first], possible)
    return recipes[possible[0]]


def obstacle(recipe: EnvironmentProfile, requested_python: str | None, which: Callable[[str], str | None]) -> str:
    """Why a recipe cannot be had here; empty when it can."""
    here = running_python()
    if here is not None and recipe.platforms and here.platform not in recipe.platforms:
        return f"PyTorch has no wheels of it for {here.platform}"
    try:
        choose(requested_python, which=which, minors=recipe.pythons)
    except EnvironmentBroken:
        return f"it needs Python {in_words(recipe.pythons)}, and {_what_there_is(requested_python, here)}"
    return ""


def _what_there_is(requested_python: str | None, here: Interpreter | None) -> str:
    if requested_python:
        return f"STEMSCRIBE_PYTHON names {requested_python}, which is none of them"
    return f"there is {here.implementation} {dotted(here.version)} and none of them" if here else "there is none"


def _made_from(venv: Path, recipes: Mapping[str, EnvironmentProfile]) -> str:
    """The recipe of the environment that is there, if it was made here; one that is half-made or has lost its Python is
    made anew from the same.
    """
    name = made_from(venv) if is_claimed(venv) else ""
    return name if name in recipes else ""


def _impossible(recipe: EnvironmentProfile, why: str, possible: list[str]) -> EnvironmentBroken:
    name = recipe.environment
    if possible:
        hint = f"`./bootstrap.sh --env {name} --profile {possible[0]}` can be had here."
    else:
        hint = f"No other profile can be had here either. {WITHOUT}"
    return EnvironmentBroken(f"venv/{name} cannot be made from the profile `{recipe.name}` here: {why}.", hint=hint)
