"""Guards environments/tool.py."""

from __future__ import annotations

import os

import pytest

from stemscribe.environments.tool import ToolFailed, ToolRunner


@pytest.fixture
def runner(tmp_path):
    lines = []
    made = ToolRunner(
        tmp_path / "log", {**os.environ, "PYTHONPATH": "/astray", "PIP_INDEX_URL": "mirror"}, lines.append
    )
    return made, lines


def test_all_that_a_tool_says_is_kept(runner, program):
    tool, lines = runner
    tool.run(str(program("talker", "echo out; echo err >&2")), "an argument")
    assert lines == ["out", "err"]
    assert tool.log.read_text().splitlines()[1:] == ["out", "err"]
    assert tool.log.read_text().endswith("talker 'an argument'\nout\nerr\n")


def test_a_failure_carries_the_output(runner, program):
    tool, _ = runner
    with pytest.raises(ToolFailed) as failure:
        tool.run(str(program("failing", "echo why; exit 3")))
    assert (failure.value.returncode, failure.value.output) == (3, "why\n")


def test_a_tool_that_is_not_there_is_a_failure(runner):
    with pytest.raises(ToolFailed) as failure:
        runner[0].run("/no/such/tool")
    assert "No such file" in failure.value.output


def test_a_tool_is_not_led_astray_but_keeps_its_mirror(runner, program):
    tool, lines = runner
    tool.run(str(program("env", 'echo "$PYTHONPATH|$PIP_INDEX_URL"')))
    assert lines == ["|mirror"]
