"""Faults, in a sample of the harness; and the harness itself, which has to see what is broken."""

from __future__ import annotations

import random
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faults import harness, invariants, kinds
from faults.place import JOB, Run, Undisturbed

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="kills, mounts and /proc of Linux"),
]
SEED = 20261122
VOCALS = "99_source_separation/vocals.wav"
POINT = {
    "point": {"op": "fsync", "name": "windows.jsonl", "nth": 20, "stage": "source_separation"},
    "when": "after",
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, model: Callable[[str], Path]) -> Undisturbed:
    return harness.reference_in(tmp_path_factory.mktemp("faults") / "reference", model("silero-vad"))


@pytest.fixture
def job(reference: Undisturbed, tmp_path: Path) -> Path:
    """A copy of the undisturbed job, to be tampered with."""
    return Path(shutil.copytree(reference.job, tmp_path / "job"))


def test_whatever_goes_wrong_nothing_is_lost(reference: Undisturbed, tmp_path: Path) -> None:
    tries = harness.plan(reference, 60, SEED)
    assert {trying.kind for trying in tries} == set(kinds.KINDS)
    tried = harness.carry_out(tries, reference, tmp_path)
    broken = {f"{each.trying}: {line}\n{each.talk}" for each in tried for line in each.broken}
    assert not broken, "\n".join(broken)
    outcome = harness.report(tried, SEED, 0.0)
    assert outcome.faults >= outcome.trials >= 45  # what needs an administrator is skipped
    assert sum(row.count for row in outcome.rows) == outcome.faults


@pytest.mark.parametrize(
    ("asked", "stages", "made"),
    [
        (("--workflow", "translate", "-s", "de"), {"translation", "export_translation"}, "translation.en.srt"),
        (("--workflow", "subtitle"), {"mux"}, "subtitled.mkv"),
    ],
)
def test_the_stages_of_other_workflows_may_be_killed_too(
    tmp_path: Path, model: Callable[[str], Path], asked: tuple[str, ...], stages: set[str], made: str
) -> None:
    reference = harness.reference_in(tmp_path / "reference", model("silero-vad"), (*JOB, *asked))
    assert made in {Path(name).name for name in reference.files}
    kind = "SIGKILL at a crash point"
    variants = [each for each in kinds.KINDS[kind].all_variants(reference) if each["point"]["stage"] in stages]
    assert len(variants) >= 6
    chance = random.Random(SEED)
    tries = [harness.Trying(kind, each, chance.randrange(1 << 30)) for each in chance.sample(variants, 6)]
    tried = harness.carry_out(tries, reference, tmp_path)
    assert [each.hits for each in tried if not each.hits] == []
    assert not [f"{each.trying}: {line}\n{each.talk}" for each in tried for line in each.broken]


def test_a_plan_begins_with_every_kind_and_is_the_same_again(reference: Undisturbed) -> None:
    tries = harness.plan(reference, 500, SEED)
    assert len(tries) == 500
    assert [trying.kind for trying in tries[: len(kinds.KINDS)]] == list(kinds.KINDS)
    assert tries == harness.plan(reference, 500, SEED)
    assert tries != harness.plan(reference, 500, SEED + 1)
    kills = [trying for trying in tries if trying.kind.startswith("SIGKILL at a random moment")]
    assert 3 * len(kills) >= 100


def test_the_undisturbed_job_breaks_nothing(reference: Undisturbed, job: Path) -> None:
    assert not invariants.unwhole(job, reference.files)
    assert not invariants.differing(job, reference.files)
    assert not invariants.left_over(job)
    names = {"vocals.wav", "mix.flac", "segments.json", "transcript.srt", "transcript.json", "separation.json"}
    assert names <= {Path(name).name for name in reference.files}
    assert reference.windows >= 20
    assert reference.regions >= 5


@pytest.mark.parametrize("damage", ["cut short", "a bit flipped", "emptied"])
def test_a_file_that_is_not_whole_is_seen(reference: Undisturbed, job: Path, damage: str) -> None:
    kinds.DAMAGES[damage](job / VOCALS, random.Random(SEED))
    assert invariants.unwhole(job, reference.files) == [
        f"{VOCALS} has its name and is not whole",
        f"the manifest vouches for {VOCALS}, which is not so",
    ]
    assert not invariants.unwhole(job, reference.files, beside={VOCALS})
    assert invariants.differing(job, reference.files) == [f"{VOCALS} is other"]


def test_a_file_that_is_missing_is_seen(reference: Undisturbed, job: Path) -> None:
    (job / VOCALS).unlink()
    assert invariants.unwhole(job, reference.files) == [f"the manifest vouches for {VOCALS}, which is not so"]
    assert invariants.differing(job, reference.files) == [f"{VOCALS} is missing"]


def test_a_file_too_many_is_seen(reference: Undisturbed, job: Path) -> None:
    (job / "04_export" / "transcript.ass").write_text("")
    assert invariants.differing(job, reference.files) == ["04_export/transcript.ass is too much"]


@pytest.mark.parametrize("name", [".x.0123abcd.part", ".draft", ".scratch", ".rehearsal-x"])
def test_what_is_left_behind_is_seen(job: Path, name: str) -> None:
    (job / "03_asr" / name).mkdir()
    assert invariants.left_over(job) == [f"03_asr/{name} was left behind"]


def test_what_is_written_elsewhere_is_seen(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "film").write_text("film")
    before = invariants.contents(tmp_path)
    (tmp_path / "out" / "any").write_text("")
    assert not invariants.strays(tmp_path, before)
    (tmp_path / "film").write_text("filn")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "note").write_text("")
    assert invariants.strays(tmp_path, before) == ["film was touched", "home/note was touched"]


def ran(code: int = 0, out: str = "", err: str = "", *, ended: bool = True) -> Run:
    return Run(code, out, err, 1.0, 0, 0, ended)


def test_an_exit_code_and_an_end_are_asked_for() -> None:
    assert not invariants.ended_otherwise(ran(130), {0, 130})
    assert invariants.ended_otherwise(ran(2), {0, 1}) == ["exit code 2, not 0 or 1"]
    assert invariants.ended_otherwise(ran(0, ended=False), {0}) == ["it had not ended after 1 s"]


def test_a_message_has_to_say_what_happened_and_what_to_do() -> None:
    said = "[ERROR] Could not write x: No space left on device.\n        Make room.\n"
    assert not invariants.unsaid(ran(1, err=said), "No space left", error=True)
    assert len(invariants.unsaid(ran(1, err=said), "Quota", error=True)) == 1
    assert len(invariants.unsaid(ran(1, err=said.splitlines()[0] + "\n"), error=True)) == 1
    assert len(invariants.unsaid(ran(1, err=f"Traceback (most recent call last):\n{said}"), error=True)) == 1
    assert (
        len(invariants.unsaid(ran(1, err="[ERROR] stemscribe itself is at fault here: …\n        Report it.\n"))) == 1
    )


def test_what_is_computed_again_is_counted() -> None:
    assert not invariants.computed_again(26 + 6, 26, 5 + 9, 5, faults=3)
    assert len(invariants.computed_again(26, 26, 5 + 10, 5, faults=3)) == 1
    assert len(invariants.computed_again(26 + 7, 26, 5, 5, faults=3)) == 1
    assert len(invariants.computed_again(26, 26, 5 + 1, 5, faults=0)) == 1


def test_a_stage_that_runs_twice_is_seen() -> None:
    run = ran(out='{"event":"stage_started","stage":"demux"}\n{"event":"stage_sk')
    assert invariants.done_again({"demux"}, run) == ["demux was completed, and was run again"]
    assert not invariants.done_again({"demux"}, run, meant={"demux"})
    assert not invariants.done_again({"asr"}, run)


@pytest.mark.parametrize(
    ("sabotage", "kind", "variant", "seen"),
    [
        ("flushes do nothing", "power cut at a crash point", POINT, "windows were separated|was run again|not \\d"),
        ("the journal is thrown away", "SIGKILL at a crash point", POINT, r"\d+ windows were separated where"),
        ("a stem is changed", "SIGKILL at a crash point", POINT, r"vocals\.wav is other"),
        ("something is left behind", "SIGKILL at a crash point", POINT, r"03_asr/\.draft was left behind"),
    ],
)
def test_a_trial_sees_what_is_broken(
    reference: Undisturbed, tmp_path: Path, sabotage: str, kind: str, variant: dict[str, Any], seen: str
) -> None:
    tries = [harness.Trying(kind, variant, seed, sabotage) for seed in range(4 if "flushes" in sabotage else 1)]
    broken = [line for each in harness.carry_out(tries, reference, tmp_path) for line in each.broken]
    assert any(re.search(seen, line) for line in broken), broken


def test_without_sabotage_the_same_trial_sees_nothing(reference: Undisturbed, tmp_path: Path) -> None:
    tries = [harness.Trying(kind, POINT, 0) for kind in ("power cut at a crash point", "SIGKILL at a crash point")]
    assert [each.broken for each in harness.carry_out(tries, reference, tmp_path)] == [(), ()]
