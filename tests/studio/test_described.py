"""The API against its own description: whatever it allows to be asked, and much that it does not, is answered."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from stemscribe.settings import Settings
from stemscribe.studio.app import create_app
from stemscribe.studio.workspace import Workspace

from .conftest import HOST, TOKEN, finished_job

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis, which ./run-tests.sh installs")
HEADERS = {"authorization": f"Bearer {TOKEN}", "host": HOST}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The API of a studio with a finished job, whose id stands wherever one is asked for."""
    root = tmp_path_factory.mktemp("described")
    job = finished_job(root / "out").path.name
    workspace = Workspace(Settings(root / "out", Path("models"), Path("venv")), ["false"])
    app = create_app(workspace, TOKEN, {HOST})

    @schemathesis.hook
    def map_path_parameters(context, path_parameters):  # type: ignore[no-untyped-def]
        if path_parameters and str(path_parameters.get("job", "")).startswith("job-"):
            path_parameters["job"] = job
        return path_parameters

    return schemathesis.openapi.from_asgi("/api/openapi.json", app, headers=HEADERS)


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_nothing_makes_it_fail(described: Any, mode: Any) -> None:
    tried = 0
    for found in described.get_all_operations():
        operation = found.ok()
        if operation.path.endswith("/events"):
            continue  # it has no end

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        def attempt(case: Any) -> None:
            nonlocal tried
            tried += 1
            answer = case.call(headers=HEADERS)
            assert answer.status_code < 500 or answer.status_code in {503, 507}, answer.text
            assert b"Traceback" not in answer.content

        with suppress(Unsatisfiable):  # there is nothing that this one could not mean
            attempt()
    assert tried > 100
