import re
from pathlib import Path

import pytest

import stemscribe
from stemscribe.errors import UsageError
from stemscribe.jobs.job import Options
from stemscribe.pipeline.stages import stage_named
from stemscribe.pipeline.workflows import Step, Workflow, workflow_named, workflow_names


def test_the_workflows_of_the_design() -> None:
    assert {"separate", "transcribe", "translate", "subtitle"} <= set(workflow_names())
    folders = {name: [step.folder for step in workflow_named(name).steps] for name in workflow_names()}
    assert folders["separate"] == ["01_demux", "99_source_separation"]
    assert folders["transcribe"] == ["01_demux", "99_source_separation", "02_speech_detection", "03_asr", "04_export"]
    assert folders["translate"] == [*folders["transcribe"], "05_translation", "06_export_translation"]
    assert folders["subtitle"] == [*folders["transcribe"], "05_mux"]


def test_what_a_workflow_makes_can_be_asked() -> None:
    assert workflow_named("subtitle").makes("subtitled")
    assert not workflow_named("transcribe").makes("subtitled")


def test_an_unknown_workflow_is_said() -> None:
    with pytest.raises(UsageError, match=r"There is no workflow 'dub'\. Choose one of: separate, transcribe"):
        workflow_named("dub")


def test_a_stage_before_its_inputs_is_refused() -> None:
    steps = (Step(stage_named("demux"), "a"), Step(stage_named("asr"), "b"))
    with pytest.raises(ValueError, match="nothing before asr makes regions, separation, vocals"):
        Workflow("broken", "", steps)


def test_two_stages_in_one_folder_are_refused() -> None:
    steps = (Step(stage_named("demux"), "a"), Step(stage_named("source_separation"), "a"))
    with pytest.raises(ValueError, match="two stages share a folder"):
        Workflow("broken", "", steps)


@pytest.mark.parametrize("options", [Options(), Options(stems="four"), Options(stem_format="mp3")])
def test_every_stage_tells_what_it_depends_on(options: Options) -> None:
    known = {*Options.__dataclass_fields__, "source_language", "media_name", "media_identity"}
    for step in (step for name in workflow_names() for step in workflow_named(name).steps):
        assert set(step.stage.depends_on) <= known
        files = [artefact.file for artefact in step.stage.outputs(options)]
        assert len(set(files)) == len(files)


def test_no_code_carries_a_stage_number() -> None:
    folders = re.compile("|".join(step.folder for name in workflow_names() for step in workflow_named(name).steps))
    for path in Path(stemscribe.__file__).parent.rglob("*.py"):
        assert not folders.search(path.read_text(encoding="utf-8")), path
        assert not re.match(r"\d", path.name)
