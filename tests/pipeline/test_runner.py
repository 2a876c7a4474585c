"""The runner's promises, with stages that are plain arithmetic, and real files, processes and kills."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import tone, write_film
from stemscribe.environments.installed import site_packages
from stemscribe.errors import JobLocked, MediaError, StageError, StemscribeError, StorageError, UsageError
from stemscribe.jobs.folder import JobFolder
from stemscribe.jobs.job import Job, Options
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import runner
from stemscribe.pipeline.receipt import dependencies
from stemscribe.pipeline.reporter import (
    Event,
    JobCompleted,
    JobFailed,
    JobStarted,
    StageCompleted,
    StageFailed,
    StageInterrupted,
    StageProgressed,
    StageSkipped,
    StageStarted,
)
from stemscribe.pipeline.stage import Progress, StageContext

from .conftest import NOWHERE, UNREHEARSED, Sums


def run(folder: JobFolder, models: ModelStore) -> list[Event]:
    events: list[Event] = []
    runner.run(folder, models, NOWHERE, events.append, UNREHEARSED)
    return events


def test_stages_run_in_order_and_leave_their_artefacts(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    events = run(folder, models)
    assert (folder.path / "three_folder" / "three.txt").read_text() == "112"
    started = [event.stage for event in events if isinstance(event, StageStarted)]
    assert started == ["one", "two", "three"]
    assert isinstance(events[-1], JobCompleted)
    record = folder.manifest.stage("three")
    assert (record.status, record.attempts, record.artefacts[0].path) == ("completed", 1, "three_folder/three.txt")
    assert sorted(path.name for path in (folder.path / "three_folder").iterdir()) == ["stage.log", "three.txt"]


def test_a_stage_that_takes_more_memory_than_it_may_is_ended_with_both_numbers(
    stages: list[Sums], folder: JobFolder, models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = iter([10**9, 3 * 10**9])
    monkeypatch.setattr(runner, "taken_memory", lambda: next(taken))
    events: list[Event] = []
    rules = replace(UNREHEARSED, max_memory=2 * 10**9)
    said = r"3\.0 GB of memory were taken, and --max-ram allows 2\.0 GB\."
    with pytest.raises(StageError, match=said) as ended:
        runner.run(folder, models, NOWHERE, events.append, rules)
    assert "What was computed is kept" in ended.value.hint
    assert [folder.manifest.stage(name).status for name in ("one", "two")] == ["completed", "failed"]
    assert [event.stage for event in events if isinstance(event, StageFailed)] == ["two"]
    run(folder, models)
    assert [stage.runs for stage in stages] == [1, 2, 1]
    assert (folder.path / "three_folder" / "three.txt").read_text() == "112"


def test_a_run_gives_back_the_memory_that_it_does_not_need_any_more(
    stages: list[Sums], folder: JobFolder, models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(runner, "give_memory_back", lambda: asked.append(stages[0].runs))
    run(folder, models)
    assert asked == [0], "before the first stage"


def test_what_is_free_is_given_back_before_each_stage_and_with_each_window(
    stages: list[Sums], folder: JobFolder, models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    monkeypatch.setattr(runner, "trim_memory", lambda: happened.append("trimmed"))

    def watch(event: Event) -> None:
        if isinstance(event, StageStarted | StageProgressed):
            happened.append(f"{event.stage} {type(event).__name__}")

    runner.run(folder, models, NOWHERE, watch, UNREHEARSED)
    started = [f"{stage.name} StageStarted" for stage in stages]
    assert [happened[happened.index(one) - 1] for one in started] == ["trimmed"] * 3
    told = [index for index, one in enumerate(happened) if one.endswith("StageProgressed")]
    assert told
    assert [happened[index + 1] for index in told] == ["trimmed"] * len(told)


def test_what_is_whole_is_not_made_again(stages: list[Sums], folder: JobFolder, models: ModelStore) -> None:
    run(folder, models)
    events = run(folder, models)
    assert [stage.runs for stage in stages] == [1, 1, 1]
    assert [type(event) for event in events] == [JobStarted, *[StageSkipped] * 3, JobCompleted]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("12"), lambda path: path.write_text("1")])
def test_a_damaged_artefact_is_made_again_and_no_more(
    stages: list[Sums], folder: JobFolder, models: ModelStore, damage: Callable[[Path], None]
) -> None:
    run(folder, models)
    damage(folder.path / "two_folder" / "two.txt")
    run(folder, models)
    # The same came out again, so that what depends on it still holds.
    assert [stage.runs for stage in stages] == [1, 2, 1]
    assert (folder.path / "two_folder" / "two.txt").read_text() == "11"


def test_a_change_reaches_what_depends_on_it(stages: list[Sums], folder: JobFolder, models: ModelStore) -> None:
    run(folder, models)
    stages[1].version, stages[1].adds = 2, 20
    run(folder, models)
    assert [stage.runs for stage in stages] == [1, 2, 2]
    assert (folder.path / "three_folder" / "three.txt").read_text() == "122"


def test_a_failure_is_recorded_and_the_next_run_goes_on(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    def fail(context: StageContext) -> None:
        raise ZeroDivisionError("no such luck")

    stages[1].before = fail
    events: list[Event] = []
    with pytest.raises(StageError, match=r"two failed: no such luck\."):
        runner.run(folder, models, NOWHERE, events.append, UNREHEARSED)
    assert [type(event) for event in events[-2:]] == [StageFailed, JobFailed]
    record = folder.manifest.stage("two")
    assert (record.status, record.artefacts) == ("failed", ())
    assert not (folder.path / "two_folder" / "two.txt").exists()
    assert "ZeroDivisionError" in (folder.path / "two_folder" / "stage.log").read_text()
    assert "ZeroDivisionError" in (folder.path / "pipeline.log").read_text()
    stages[1].before = lambda context: None
    run(folder, models)
    assert [stage.runs for stage in stages] == [1, 2, 1]


def test_scratch_survives_an_interruption_and_goes_with_success(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    found: list[list[str]] = []

    def work(context: StageContext) -> None:
        found.append(sorted(path.name for path in context.scratch.iterdir()))
        (context.scratch / f"piece{len(found)}").write_text("done")
        if len(found) == 1:
            raise KeyboardInterrupt

    stages[0].before = work
    with pytest.raises(KeyboardInterrupt):
        run(folder, models)
    assert folder.manifest.stage("one").status == "interrupted"
    run(folder, models)
    assert found == [[], ["piece1"]]
    assert not (folder.path / "one_folder" / ".scratch").exists()


def test_scratch_of_something_else_is_not_used(stages: list[Sums], folder: JobFolder, models: ModelStore) -> None:
    found: list[list[str]] = []

    def work(context: StageContext) -> None:
        found.append(sorted(path.name for path in context.scratch.iterdir()))
        (context.scratch / "piece").write_text("done")
        raise KeyboardInterrupt

    stages[0].before = work
    for version in (1, 2):
        stages[0].version = version
        with pytest.raises(KeyboardInterrupt):
            run(folder, models)
    assert found == [[], []]


def test_a_disk_that_is_full_is_said_as_such(stages: list[Sums], folder: JobFolder, models: ModelStore) -> None:
    def fill(context: StageContext) -> None:
        raise StorageError("The disk is full.", hint="Make room.")

    stages[0].before = fill
    with pytest.raises(StorageError, match=r"^The disk is full\. Make room\.$"):
        run(folder, models)
    assert folder.manifest.stage("one").error == "The disk is full. Make room."


def test_a_film_that_is_gone_is_said_before_any_stage(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    Path(folder.job.media).unlink()
    with pytest.raises(MediaError, match="The film is not there any more"):
        run(folder, models)
    assert stages[0].runs == 0


def test_a_film_that_has_changed_is_said_before_any_stage(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    write_film(Path(folder.job.media), [(tone(2), "eng")])
    with pytest.raises(MediaError, match="its content has changed"):
        run(folder, models)
    assert stages[0].runs == 0


def test_a_film_that_changes_while_it_is_read_is_said(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    stages[0].before = lambda context: write_film(Path(folder.job.media), [(tone(2), "eng")])  # type: ignore[assignment]
    with pytest.raises(MediaError, match="its content has changed"):
        run(folder, models)
    assert folder.manifest.stage("one").status == "failed"
    assert not (folder.path / "one_folder" / "one.txt").exists()


def test_a_film_that_is_gone_does_not_matter_once_it_was_read(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    stages[1].before = lambda context: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        run(folder, models)
    Path(folder.job.media).unlink()
    stages[1].before = lambda context: None
    run(folder, models)
    assert [stage.runs for stage in stages] == [1, 2, 1]


def test_a_film_that_was_replaced_does_not_touch_a_finished_job(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    run(folder, models)
    (folder.path / "one_folder" / "one.txt").unlink()
    write_film(Path(folder.job.media), [(tone(2), "eng")])
    with pytest.raises(MediaError, match="its content has changed"):
        run(folder, models)
    assert [stage.runs for stage in stages] == [1, 1, 1]
    assert folder.manifest.stage("one").status == "completed"
    assert (folder.path / "three_folder" / "three.txt").read_text() == "112"


def test_an_interruption_is_told(stages: list[Sums], folder: JobFolder, models: ModelStore) -> None:
    stages[0].before = lambda context: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[assignment]
    events: list[Event] = []
    with pytest.raises(KeyboardInterrupt):
        runner.run(folder, models, NOWHERE, events.append, UNREHEARSED)
    assert events[-1] == StageInterrupted("one")


def test_progress_in_seconds_is_told_now_and_then(stages: list[Sums], folder: JobFolder, models: ModelStore) -> None:
    def work(context: StageContext) -> None:
        for second in range(10_000):
            context.progress(Progress(second + 1, 10_000, "s", second))

    stages[0].before = work
    told = [event for event in run(folder, models) if isinstance(event, StageProgressed) and event.stage == "one"]
    assert len(told) < 100
    assert told[-1].progress.done == 10_000


def test_a_full_disk_that_a_stage_stumbles_over_is_said_as_such(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    def fill(context: StageContext) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    stages[0].before = fill
    with pytest.raises(StorageError, match=r"Could not write .*one_folder: No space left on device\."):
        run(folder, models)


def test_that_a_failure_cannot_be_recorded_does_not_hide_it(
    stages: list[Sums], folder: JobFolder, models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(context: StageContext) -> None:
        def full(path: Path, record: object) -> None:
            raise StorageError("The disk is full.")

        monkeypatch.setattr("stemscribe.jobs.folder.write_record", full)
        raise ZeroDivisionError("no such luck")

    stages[0].before = fail
    with pytest.raises(StageError, match="no such luck"):
        run(folder, models)


def test_what_goes_away_while_a_job_runs_is_no_wrong_usage(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    def vanish(context: StageContext) -> None:
        raise UsageError("There is no file film.mkv.", hint="Check the name.")

    stages[0].before = vanish
    with pytest.raises(StemscribeError, match=r"^There is no file film\.mkv\. Check the name\.$") as told:
        run(folder, models)
    assert told.value.exit_code == 1


def test_two_runs_of_one_job_keep_off_each_other(stages: list[Sums], folder: JobFolder, models: ModelStore) -> None:
    with folder.locked(), pytest.raises(JobLocked):
        run(folder, models)
    assert stages[0].runs == 0


def test_a_job_can_be_moved_in_the_middle(
    stages: list[Sums], folder: JobFolder, models: ModelStore, tmp_path: Path
) -> None:
    stages[2].before = lambda context: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        run(folder, models)
    moved = JobFolder(folder.path.rename(tmp_path / "moved"))
    stages[2].before = lambda context: None
    run(moved, models)
    assert [stage.runs for stage in stages] == [1, 1, 2]


def test_what_is_said_word_for_word(
    stages: list[Sums], folder: JobFolder, models: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="stemscribe"):
        run(folder, models)
        run(folder, models)
    said = [record.getMessage() for record in caplog.records]
    assert said[1:4] == [
        "▶️  Stage one: STARTING",
        f"✓ One added: {folder.path}/one_folder/one.txt",
        f"✅ Stage one: COMPLETED ({folder.manifest.stage('one').seconds:.1f}s)",
    ]
    assert "⏭  Stage one: SKIPPED (already completed)" in said


def test_results_are_handed_out_whole(
    stages: list[Sums], folder: JobFolder, models: ModelStore, tmp_path: Path
) -> None:
    outcome = runner.run(folder, models, NOWHERE, rules=UNREHEARSED)
    handed = outcome.hand_out("three", tmp_path / "there")
    assert [path.read_text() for path in handed] == ["112"]
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["three.txt"]


def test_events_tell_paths(stages: list[Sums], folder: JobFolder, models: ModelStore) -> None:
    completed = [event for event in run(folder, models) if isinstance(event, StageCompleted)]
    assert completed[0].artefacts == {"one": str(folder.path / "one_folder" / "one.txt")}


def test_the_manifest_says_nothing_of_this_machine(stages: list[Sums], folder: JobFolder, models: ModelStore) -> None:
    run(folder, models)
    text = (folder.path / "manifest.json").read_text()
    assert str(folder.path.parent) not in text
    assert set(json.loads(text)["stages"]) == {"one", "two", "three"}


def test_fingerprints_follow_what_matters(folder: JobFolder, tmp_path: Path) -> None:
    stage, job = (
        Sums("one", ("mix",), depends_on=("model", "source_language"), built_with={"core": ("click",)}),
        folder.job,
    )

    def of(stage: Sums, job: Job, mix: str = "a", whisper: str = "w") -> str:
        return dependencies(stage, job, {"mix": mix}, {"whisper": whisper}, tmp_path).fingerprint

    same = of(stage, job)
    assert of(stage, replace(job, id="other", media="/elsewhere")) == same
    different = [
        of(stage, job, mix="b"),
        of(stage, job, whisper="v"),
        of(stage, replace(job, options=Options(model="x"))),
        of(stage, replace(job, source_language="hi")),
        of(replace(stage, parameters={"pad": 1}), job),
        of(replace(stage, version=2), job),
        of(replace(stage, built_with={"core": ("rich",)}), job),
    ]
    assert same not in different
    assert of(stage, replace(job, options=Options(threads=3))) == same


def test_fingerprints_follow_other_environments_too(folder: JobFolder, tmp_path: Path) -> None:
    stage = Sums("one", built_with={"demucs": ("torch",)})
    (tmp_path / "demucs" / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    site = site_packages(tmp_path / "demucs")
    seen = {dependencies(stage, folder.job, {}, {}, tmp_path).fingerprint}
    for version in ("2.5.1", "2.9.1"):
        (site / f"torch-{version}.dist-info").mkdir()
        seen.add(dependencies(stage, folder.job, {}, {}, tmp_path).fingerprint)
    assert len(seen) == 3


HANGS = """
import logging, sys, time
from dataclasses import replace
from pathlib import Path
from pipeline.conftest import NOWHERE, UNREHEARSED, Sums
from stemscribe.jobs.folder import JobFolder
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import runner
from stemscribe.pipeline.workflows import Step, Workflow

logging.basicConfig(format="[%(levelname)s] %(message)s")
stage = Sums("one", before=lambda context: time.sleep(50))
runner.workflow_named = lambda name: Workflow("sums", "", (Step(stage, "one_folder"),))
runner.run(JobFolder(Path(sys.argv[1])), ModelStore(NOWHERE, {}), NOWHERE, rules=replace(UNREHEARSED, patience=1.5))
"""


def test_a_stage_that_hangs_is_ended_and_recorded(folder: JobFolder) -> None:
    command = [sys.executable, "-c", HANGS, str(folder.path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=40)
    assert done.returncode == 1
    assert "[ERROR] one has shown no sign of life for 0.025 minutes, and was ended.\nRun the job again" in done.stderr
    record = folder.manifest.stage("one")
    assert record.status == "failed"
    assert "no sign of life" in record.error
