"""Guards environments/__main__.py: the whole of what it prints."""

from __future__ import annotations

from typing import ClassVar

import pytest

from stemscribe.environments import __main__ as front
from stemscribe.environments.marker import Marker
from stemscribe.errors import EnvironmentBroken


class FakeManager:
    """Says what a manager would say, and makes nothing."""

    asked: ClassVar[list[tuple[str, bool]]] = []
    failure: BaseException | None = None

    def __init__(self, **settings):
        self.settings = settings

    def ensure(self, profile, *, force=False):
        self.asked.append((profile.name, force))
        if self.failure:
            raise self.failure
        return Marker(profile.name, "d", "p", "Python 3.11.7", "uv", {"av": "1", "numpy": "2"})


@pytest.fixture
def manager(monkeypatch):
    fake = type("Fake", (FakeManager,), {"asked": []})
    monkeypatch.setattr(front, "EnvironmentManager", fake)
    return fake


def test_makes_the_core_by_default(manager, capsys):
    assert front.main([]) == 0
    assert manager.asked == [("core", False)]
    assert capsys.readouterr() == ("", "[INFO] venv/core is ready (Python 3.11.7, 2 packages proven).\n")


def test_makes_what_is_named_and_can_be_quiet(manager, capsys):
    assert front.main(["--env", "tests", "--env", "core", "--force", "--quiet"]) == 0
    assert manager.asked == [("tests", True), ("core", True)]
    assert capsys.readouterr() == ("", "")


def test_an_error_is_told_with_its_hint(manager, capsys):
    manager.failure = EnvironmentBroken("It broke.", hint="Mend it.")
    assert front.main([]) == 1
    assert capsys.readouterr() == ("", "[ERROR] It broke.\nMend it.\n")


def test_an_interruption_is_told_calmly(manager, capsys):
    manager.failure = KeyboardInterrupt()
    assert front.main([]) == 130
    assert capsys.readouterr() == ("", "\nInterrupted. Run the same command again; it goes on where it stopped.\n")
