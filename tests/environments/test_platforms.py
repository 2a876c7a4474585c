"""Every platform that is promised can have all of every lock as wheels, at this very moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import uv

from stemscribe.environments.requirements import base_locks, check_wheels, lock_tool, torch_locks
from stemscribe.environments.tool import ToolFailed
from stemscribe.errors import EnvironmentBroken

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {lock.path.stem: lock for lock in (*base_locks(ROOT), *torch_locks(ROOT)) if lock.path.stem != "tests"}
UNDER_CI = os.environ.get("CI", "").lower() in {"true", "1"}


@pytest.fixture(scope="module")
def tool(tmp_path_factory):
    """Runs uv; without a network the tests are skipped, but not under CI."""
    tool = lock_tool(tmp_path_factory.mktemp("uv") / "lock.log", os.environ)
    question = tool.log.parent / "question.in"
    question.write_text("flit_core\n")
    try:
        tool.run(uv.find_uv_bin(), "pip", "compile", "--no-cache", "--quiet", "--no-python-downloads", str(question))
    except ToolFailed as error:
        if not UNDER_CI:
            pytest.skip(f"needs a network: {error.output}")
    return tool


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lock", "platform"), [(name, platform) for name, lock in LOCKS.items() for platform in lock.platforms]
)
def test_a_platform_has_wheels_for_every_python(tool, lock, platform):
    for minor in LOCKS[lock].pythons:
        check_wheels(tool, uv.find_uv_bin(), LOCKS[lock], LOCKS[lock].path, platform, minor)


@pytest.mark.slow
def test_a_platform_without_wheels_is_noticed(tool):
    """torch left macOS on Intel after 2.2: if this passes, so would everything."""
    with pytest.raises(EnvironmentBroken, match=r"macOS 14, Intel with Python 3\.11 cannot have all of venv/demucs"):
        lock = LOCKS["demucs-pinned"]
        check_wheels(tool, uv.find_uv_bin(), lock, lock.path, "x86_64-apple-darwin", (3, 11))
