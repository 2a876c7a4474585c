import logging
import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import Array, FakeSeparator, FaultySeparator, tone, write_film
from stemscribe.audio.mix import write_mix
from stemscribe.audio.probe import probe
from stemscribe.errors import StageError, StorageError
from stemscribe.jobs.job import Job, Options
from stemscribe.pipeline.stage import Progress, StageContext
from stemscribe.pipeline.stages import source_separation
from stemscribe.pipeline.stages.source_separation import SeparationRecord, SourceSeparation
from stemscribe.records import read_record, write_record
from stemscribe.separation import finish

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    """Ten seconds of film before their separation; the model is not there, and not needed before the first window."""
    film = write_film(tmp_path / "film.wav", [(tone(10, rate=44100), "eng")], rate=44100)
    info = write_mix(film, probe(film).tracks[0], tmp_path / "mix.flac", 44100)
    write_record(tmp_path / "mix.json", info)
    scratch = tmp_path / "stage" / ".scratch" / "abc"
    scratch.mkdir(parents=True)
    outputs = {artefact.name: tmp_path / artefact.file for artefact in SourceSeparation().outputs(Options())}
    return StageContext(
        job=Job("job", str(film), "", "separate", "en", "", ""),
        inputs={"mix": tmp_path / "mix.flac", "mix_info": tmp_path / "mix.json"},
        outputs=outputs,
        models={"htdemucs": tmp_path / "nowhere"},
        environments=tmp_path / "venv",
        scratch=scratch,
        progress=lambda progress: None,
    )


@pytest.mark.parametrize(("options", "gigabytes"), [(Options(), 7.744e-3), (Options(stem_subtype="float"), 11.272e-3)])
def test_what_the_disk_cannot_hold_is_not_begun(
    context: StageContext, monkeypatch: pytest.MonkeyPatch, options: Options, gigabytes: float
) -> None:
    """Needed are the journal (the vocals as float, and a third more for its tails) and the two stems."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9, gigabytes * 1e9 * 0.97))
    numbers = f"{gigabytes * 1e3:.1f} MB on the disk of .*stage, and {gigabytes * 970:.1f} MB are free"
    with pytest.raises(StorageError, match=rf"Separation needs {numbers}\."):
        SourceSeparation().run(replace(context, job=replace(context.job, options=options)))


def test_what_the_disk_can_hold_is_begun(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, 7.744e-3 * 1e9 * 1.03))
    with pytest.raises(Exception, match=r"nowhere") as caught:  # the model is what is missing next
        SourceSeparation().run(context)
    assert not isinstance(caught.value, StorageError)


def no_number(stems: Array) -> None:
    stems[..., 1000:1010] = np.nan


def nothing(stems: Array) -> None:
    stems[...] = 0


@pytest.fixture
def separate(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SeparationRecord]:
    """Runs the stage with a separator of arithmetic, windows of a second, and gives `separation.json`."""

    def run(separator: FakeSeparator, **changes: object) -> SeparationRecord:
        separator.window_frames = 44100
        monkeypatch.setattr(source_separation, "HTDemucsOnnx", lambda *arguments, **options: separator)
        SourceSeparation().run(replace(context, **changes))  # type: ignore[arg-type]
        return read_record(context.outputs["separation"], SeparationRecord)

    return run


def test_well_separated_and_well_written_is_proven(
    separate: Callable[..., SeparationRecord], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        record = separate(FakeSeparator((0.5,)))
    assert (record.doubts, record.healed) == ((), ())
    assert record.cut_off == {"vocals": 0, "accompaniment": 0}
    assert record.proof is not None
    assert (record.proof.frames, record.proof.exact) == (441_000, True)
    assert "every sample is what was computed, and their sum the mix within" in caplog.text
    assert not [each for each in caplog.records if each.levelno > logging.INFO]


def test_what_is_doubtful_is_recorded_and_said_in_one_line(
    separate: Callable[..., SeparationRecord], caplog: pytest.LogCaptureFixture
) -> None:
    record = separate(FaultySeparator((0.5,), spoil=no_number, at=(3, 4, 7, 8)))
    assert [(doubt.window, doubt.kind, doubt.evidence) for doubt in record.doubts] == [
        (2, "not_finite", 20),
        (5, "not_finite", 20),
    ]
    assert record.doubts[0].start == pytest.approx(1.5 + 1000 / 44100, abs=1e-6)
    assert [each.getMessage() for each in caplog.records if each.levelno > logging.INFO] == [
        "doubtful windows: samples that are no numbers in 2 windows (first at 0:01.523); separation.json has all of"
        " them"
    ]
    assert record.proof is not None
    assert record.proof.exact


def test_what_came_out_well_the_second_time_is_recorded_too(
    separate: Callable[..., SeparationRecord], caplog: pytest.LogCaptureFixture
) -> None:
    record = separate(FaultySeparator((0.5,), spoil=nothing, at=(3,)))
    assert record.doubts == ()
    assert [(doubt.window, doubt.kind) for doubt in record.healed] == [(2, "dead")]
    assert [each.getMessage() for each in caplog.records if each.levelno > logging.INFO] == [
        "separated once more, and well then: stems that stand still while the mix does not in 1 window (first at"
        " 0:01.500); is this machine sound?"
    ]


def test_after_an_interruption_the_record_and_the_stems_are_the_same(
    separate: Callable[..., SeparationRecord], context: StageContext
) -> None:
    outputs = list(context.outputs.values())
    separate(FaultySeparator((0.5,), spoil=no_number, at=(3, 4, 7, 8)))
    undisturbed = [path.read_bytes() for path in outputs]
    shutil.rmtree(context.scratch)
    context.scratch.mkdir()

    def stop(progress: Progress) -> None:
        if progress.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        separate(FaultySeparator((0.5,), spoil=no_number, at=(3, 4)), progress=stop)
    separate(FaultySeparator((0.5,), spoil=no_number, at=(2, 3)))
    assert [path.read_bytes() for path in outputs] == undisturbed


@pytest.mark.parametrize("spoil", [no_number, nothing])
def test_a_rehearsal_refuses_a_model_that_gives_no_sound(
    separate: Callable[..., SeparationRecord], spoil: Callable[[Array], None]
) -> None:
    with pytest.raises(StageError, match=r"The separation model does not work on this machine: it gives .* of vocals"):
        separate(FaultySeparator((0.5,), spoil=spoil, at=(1, 2)), rehearsal=True)
    separate(FaultySeparator((0.5,), spoil=spoil, at=(1, 2)), rehearsal=False)


def test_files_that_are_not_what_was_computed_fail_the_stage_and_are_written_again(
    separate: Callable[..., SeparationRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Quieter(finish.StemWriter):
        def write(self, block: Array) -> None:
            super().write(block * np.float32(0.5))

    monkeypatch.setattr(finish, "StemWriter", Quieter)
    with pytest.raises(StorageError, match=r"vocals\.wav does not read back as what was written to it") as caught:
        separate(FakeSeparator((0.5,)))
    assert "run the job again" in caught.value.hint
    monkeypatch.setattr(finish, "StemWriter", Quieter.__base__)
    again = FakeSeparator((0.5,))
    record = separate(again)
    assert again.windows == 0
    assert record.proof is not None


def test_samples_that_are_cut_off_are_counted_and_said(
    separate: Callable[..., SeparationRecord], context: StageContext, caplog: pytest.LogCaptureFixture
) -> None:
    job = replace(context.job, options=Options(clip_mode="none"))
    record = separate(FakeSeparator((2.5,)), job=job)
    assert record.cut_off["vocals"] > 100_000
    assert record.cut_off["accompaniment"] == 0
    assert f"vocals peaked at 1.25: {record.cut_off['vocals']} samples were cut off" in caplog.text
    assert record.proof is not None
    assert record.proof.largest_error is None


def test_a_long_film_is_told_to_be_alive_while_its_files_are_written(
    separate: Callable[..., SeparationRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(source_separation, "_SIGN_OF_LIFE_SECONDS", 0.0)
    separate(FakeSeparator((0.5,)), progress=lambda progress: told.append(progress.done))
    assert told[:15] == list(range(15))
    assert len(told) > 15 + 3 * 14  # at every window, each time that all are gone through
    assert set(told[15:]) == {14}


def test_records_of_jobs_before_there_were_doubts_are_read(tmp_path: Path) -> None:
    (tmp_path / "separation.json").write_text(
        '{"model":"htdemucs","runtime":"openvino","sample_rate":44100,"frames":10,"windows":1,"window_frames":100,'
        '"overlap_frames":25,"stems":{"vocals":{"peak":0.5,"gain":1.0}}}'
    )
    record = read_record(tmp_path / "separation.json", SeparationRecord)
    assert (record.doubts, record.healed, record.cut_off, record.proof) == ((), (), {}, None)
