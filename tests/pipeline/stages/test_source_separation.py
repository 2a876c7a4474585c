import logging
import shutil
from collections import namedtuple
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import Array, FakeSeparator, FaultySeparator, tone, write_film
from stemscribe.audio.mix import write_mix
from stemscribe.audio.probe import probe
from stemscribe.audio.source import AudioSource
from stemscribe.choices import Quality, StemSet
from stemscribe.errors import StageError, StorageError
from stemscribe.jobs.job import Job, Options
from stemscribe.pipeline.stage import Progress, StageContext
from stemscribe.pipeline.stages import source_separation
from stemscribe.pipeline.stages.source_separation import SeparationRecord, SourceSeparation, separate_one_again
from stemscribe.records import read_record, write_record
from stemscribe.separation import finish
from stemscribe.separation.base import Separator
from stemscribe.separation.gate import Evidence, Treated
from stemscribe.separation.windows import WindowPlan

Usage = namedtuple("Usage", "total used free")
UNGATED = Options(gate="off")


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    """Ten seconds of film before their separation, no window of which is like another.

    The model is not there, and not needed before the first window.
    """
    film = write_film(tmp_path / "film.wav", [(tone(10, rate=44100, hertz=441.3), "eng")], rate=44100)
    info = write_mix(film, probe(film).tracks[0], tmp_path / "mix.flac", 44100)
    write_record(tmp_path / "mix.json", info)
    scratch = tmp_path / "stage" / ".scratch" / "abc"
    scratch.mkdir(parents=True)
    outputs = {artefact.name: tmp_path / artefact.file for artefact in SourceSeparation().outputs(UNGATED)}
    return StageContext(
        job=Job("job", str(film), "", "separate", "en", "", "", UNGATED),
        inputs={"mix": tmp_path / "mix.flac", "mix_info": tmp_path / "mix.json"},
        outputs=outputs,
        models={"htdemucs": tmp_path / "nowhere"},
        environments=tmp_path / "venv",
        scratch=scratch,
        progress=lambda progress: None,
    )


@pytest.mark.parametrize(
    ("options", "gigabytes"), [(UNGATED, 7.744e-3), (replace(UNGATED, stem_subtype="float"), 11.272e-3)]
)
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
def separate(context: StageContext, in_turn: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SeparationRecord]:
    """Runs the stage with a separator of arithmetic, windows of a second, and gives `separation.json`."""

    def run(separator: FakeSeparator, **changes: object) -> SeparationRecord:
        separator.window_frames = 44100
        monkeypatch.setattr(source_separation, "open_onnx", lambda *arguments, **options: separator)
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
    record = separate(FaultySeparator((0.5,), spoil=no_number, times={2: 2, 5: 2}))
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
    record = separate(FaultySeparator((0.5,), spoil=nothing, times={2: 1}))
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
    separate(FaultySeparator((0.5,), spoil=no_number, times={2: 2, 5: 2}))
    undisturbed = [path.read_bytes() for path in outputs]
    shutil.rmtree(context.scratch)
    context.scratch.mkdir()

    def stop(progress: Progress) -> None:
        if progress.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        separate(FaultySeparator((0.5,), spoil=no_number, times={2: 2}), progress=stop)
    separate(FaultySeparator((0.5,), spoil=no_number, times={1: 2}))
    assert [path.read_bytes() for path in outputs] == undisturbed


@pytest.mark.parametrize("spoil", [no_number, nothing])
def test_a_rehearsal_refuses_a_model_that_gives_no_sound(
    separate: Callable[..., SeparationRecord], spoil: Callable[[Array], None]
) -> None:
    with pytest.raises(StageError, match=r"The separation model does not work on this machine: it gives .* of vocals"):
        separate(FaultySeparator((0.5,), spoil=spoil, times={0: 2}), rehearsal=True)
    separate(FaultySeparator((0.5,), spoil=spoil, times={0: 2}), rehearsal=False)


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
    job = replace(context.job, options=replace(UNGATED, clip_mode="none"))
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
    assert len(told) >= 15 + 3 * 14  # at every window, each time that all are gone through
    assert set(told[15:]) == {14}


def test_records_of_jobs_before_there_were_doubts_are_read(tmp_path: Path) -> None:
    (tmp_path / "separation.json").write_text(
        '{"model":"htdemucs","runtime":"openvino","sample_rate":44100,"frames":10,"windows":1,"window_frames":100,'
        '"overlap_frames":25,"stems":{"vocals":{"peak":0.5,"gain":1.0}}}'
    )
    record = read_record(tmp_path / "separation.json", SeparationRecord)
    assert (record.doubts, record.healed, record.cut_off, record.proof, record.gate) == ((), (), {}, None, ())


HOP = 0.032
RATE = 44100


def evidence(*voices: tuple[float, float], alone: bool = False) -> Evidence:
    """What a look at ten seconds finds: music, and voices over it from when to when; or nothing but the voices."""
    speech = np.zeros(313, np.float32)
    for start, end in voices:
        speech[round(start / HOP) : round(end / HOP)] = 0.9
    is_voice = speech > 0
    level = np.where(is_voice, -20, -100 if alone else -20).astype(np.float32)
    vocals = np.where(is_voice, -20 if alone else -25, -80).astype(np.float32)
    others = np.where(is_voice & alone, -60, level).astype(np.float32)
    return Evidence(HOP, speech, speech, level, vocals, others)


@dataclass
class Look:
    """Stands in for the look, and counts how often it was taken."""

    finds: Evidence
    times: int = 0

    def __call__(self, context: StageContext, mix: AudioSource, plan: WindowPlan) -> Evidence:
        assert plan.total_frames == mix.frames
        self.times += 1
        return self.finds


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Look:
    """Finds a voice from 3.0 s to 3.3 s of the film."""
    made = Look(evidence((3.0, 3.3)))
    monkeypatch.setattr(source_separation, "look", made)
    return made


@pytest.fixture
def gated(context: StageContext) -> Job:
    return replace(context.job, options=Options(separation_model="htdemucs"))


class Loaded(FakeSeparator):
    """Half of the mix, as the others; knows whether it was loaded."""

    is_loaded = False

    def load(self) -> None:
        self.is_loaded = True


# A window of a second every 0.75 s: with their margins, the voice is in those from 2.25 s to 4.0 s.
RUNS = (
    Treated("silent", 0, 2, 0.0, 1.75),
    Treated("separated", 2, 4, 1.5, 4.75),
    Treated("silent", 6, 8, 4.5, 10.0),
)


def test_only_windows_with_a_voice_are_separated_and_the_record_tells_which(
    separate: Callable[..., SeparationRecord],
    context: StageContext,
    gated: Job,
    look: Look,
    caplog: pytest.LogCaptureFixture,
) -> None:
    separator = Loaded((0.5,))
    with caplog.at_level(logging.INFO):
        record = separate(separator, job=gated)
    assert record.gate == RUNS
    assert (record.windows, separator.windows, separator.is_loaded, look.times) == (14, 4, True, 1)
    assert (record.doubts, record.healed) == ((), ())
    assert record.proof is not None
    assert record.proof.exact
    assert "29 % of windows need to be separated; in 10 there is no voice, and in 0 nothing else" in caplog.messages
    assert not [each for each in caplog.records if each.levelno > logging.INFO]
    vocals, accompaniment = (
        soundfile.read(context.outputs[name], dtype="float32")[0].T for name in ("vocals", "accompaniment")
    )
    mix = soundfile.read(context.inputs["mix"], dtype="float32")[0].T
    np.testing.assert_allclose(vocals + accompaniment, mix, atol=2**-15)
    quiet, loud = np.ones(10 * RATE, bool), slice(round(1.75 * RATE), round(4.5 * RATE))
    quiet[round(1.5 * RATE) : round(4.75 * RATE)] = False
    np.testing.assert_array_equal(vocals[:, quiet], 0)
    np.testing.assert_allclose(vocals[:, loud], mix[:, loud] / 2, atol=2**-15)


def test_what_windows_have_without_gated_ones_is_what_it_is_without_a_gate(
    separate: Callable[..., SeparationRecord], context: StageContext, gated: Job, look: Look
) -> None:
    job = replace(gated, options=replace(gated.options, stem_subtype="float"))
    loud, stems = slice(round(1.75 * RATE), round(4.5 * RATE)), []
    for gate in ("auto", "off"):
        separate(FakeSeparator((0.5,)), job=replace(job, options=replace(job.options, gate=gate)))  # type: ignore[arg-type]
        stems.append(soundfile.read(context.outputs["vocals"], dtype="float32")[0])
    np.testing.assert_array_equal(stems[0][loud], stems[1][loud])
    assert look.times == 1


def test_a_film_with_nothing_but_a_voice_needs_no_model(
    separate: Callable[..., SeparationRecord], context: StageContext, gated: Job, look: Look
) -> None:
    look.finds, separator = evidence((0.0, 10.0), alone=True), Loaded((0.5,))
    record = separate(separator, job=gated)
    assert [(run.treatment, run.windows) for run in record.gate] == [("passed", 14)]
    assert (separator.windows, separator.is_loaded) == (0, False)
    vocals, mix = (soundfile.read(path)[0] for path in (context.outputs["vocals"], context.inputs["mix"]))
    np.testing.assert_allclose(vocals, mix, atol=2**-15)


def test_the_model_is_loaded_only_where_something_is_left_for_it(
    separate: Callable[..., SeparationRecord], gated: Job, look: Look
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 6:  # only silent windows are left
            raise KeyboardInterrupt

    first, second = Loaded((0.5,)), Loaded((0.5,))
    with pytest.raises(KeyboardInterrupt):
        separate(first, job=gated, progress=stop)
    separate(second, job=gated)
    assert (first.windows, first.is_loaded) == (4, True)
    assert (second.windows, second.is_loaded) == (0, False)


def test_the_look_does_not_wait_for_the_model(
    separate: Callable[..., SeparationRecord], gated: Job, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is there once the look was taken, and not before."""
    separator, begun = Loaded((0.5,)), Future[AbstractContextManager[Separator]]()

    def looks(context: StageContext, mix: AudioSource, plan: WindowPlan) -> Evidence:
        assert not begun.done()
        begun.set_result(nullcontext(separator))
        return look(context, mix, plan)

    monkeypatch.setattr(source_separation, "look", looks)
    assert separate(separator, job=gated, begun=begun).gate == RUNS
    assert (separator.windows, look.times) == (4, 1)


def test_other_treatments_have_another_journal(
    separate: Callable[..., SeparationRecord], context: StageContext, gated: Job, look: Look
) -> None:
    """What was separated is not taken for what now is to be; and it stays, should it be wanted again."""

    def stop(progress: Progress) -> None:
        if progress.done == 5:
            raise KeyboardInterrupt

    separators = [Loaded((0.5,)) for _ in range(3)]
    finds = [evidence((3.0, 3.3)), evidence((6.0, 6.3)), evidence((3.0, 3.3))]
    for separator, look.finds in zip(separators[:2], finds[:2], strict=True):
        with pytest.raises(KeyboardInterrupt):
            separate(separator, job=gated, progress=stop)
    assert len([path for path in context.scratch.iterdir() if path.is_dir()]) == 2
    look.finds = finds[2]
    assert separate(separators[2], job=gated).gate == RUNS
    assert separators[0].windows in (3, 4)  # one more was under way
    assert [separator.windows for separator in separators[1:]] == [0, 1]


def test_what_the_look_has_kept_is_no_other_separation(
    separate: Callable[..., SeparationRecord],
    context: StageContext,
    gated: Job,
    look: Look,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (context.scratch / "look-0123abcd.npy").touch()
    separate(FakeSeparator((0.5,)), job=gated)
    assert "it begins anew" not in caplog.text


def test_a_rehearsal_looks_and_then_separates_everything(
    separate: Callable[..., SeparationRecord], gated: Job, look: Look
) -> None:
    look.finds, separator = evidence(), Loaded((0.5,))
    record = separate(separator, job=gated, rehearsal=True)
    assert [(run.treatment, run.windows) for run in record.gate] == [("separated", 14)]
    assert (separator.windows, separator.is_loaded, look.times) == (14, True, 1)


def test_in_a_rehearsal_no_model_stays_untried(
    separate: Callable[..., SeparationRecord], gated: Job, look: Look
) -> None:
    look.finds = evidence()
    with pytest.raises(StageError, match=r"The separation model does not work on this machine"):
        separate(FaultySeparator((0.5,), spoil=nothing, times={0: 2}), job=gated, rehearsal=True)


FOUR = ("drums", "bass", "other", "vocals")


@pytest.mark.parametrize(
    ("options", "stems"),
    [
        (Options(gate="off"), ("vocals",)),
        (Options(stems="four"), FOUR),
        (Options(stems="six", separation_model="htdemucs_6s-torch"), (*FOUR, "guitar", "piano")),
        (Options(separation_model="spleeter"), ("vocals",)),
    ],
)
def test_what_is_not_gated_is_separated_unseen(
    separate: Callable[..., SeparationRecord],
    context: StageContext,
    look: Look,
    tmp_path: Path,
    options: Options,
    stems: tuple[str, ...],
) -> None:
    outputs = {artefact.name: tmp_path / artefact.file for artefact in SourceSeparation().outputs(options)}
    models = {options.separation_model: tmp_path / "nowhere"}
    assert SourceSeparation().models(options) == tuple(models)
    separator = FakeSeparator((1 / len(stems),) * len(stems), stems)
    record = separate(separator, job=replace(context.job, options=options), outputs=outputs, models=models)
    assert (separator.windows, look.times, record.gate) == (14, 0, ())


def test_a_gated_job_needs_the_models_of_the_look() -> None:
    for stems, models in (("two", ("htdemucs", "spleeter", "silero-vad")), ("four", ("htdemucs",))):
        kind: StemSet = stems  # type: ignore[assignment]
        assert SourceSeparation().models(Options(stems=kind)) == models


@pytest.mark.parametrize("finds", [evidence((3.0, 3.3)), evidence((2.0, 8.0), alone=True)])
def test_any_window_of_a_gated_film_can_be_separated_again(
    separate: Callable[..., SeparationRecord], context: StageContext, gated: Job, look: Look, finds: Evidence
) -> None:
    look.finds = finds
    separate(FakeSeparator((0.5,)), job=gated)
    for index in range(14):
        again = separate_one_again(replace(context, job=gated), lambda windows, index=index: index)  # type: ignore[misc]
        assert again is not None
        assert (again.index, again.windows, again.exact) == (index, 14, True)
    assert look.times == 1, "what was recorded is what counts"


@pytest.mark.parametrize(("quality", "overlap"), [("exact", 11025), ("balanced", 4410), ("fast", 1323)])
def test_quality_is_recorded_as_the_overlap(
    separate: Callable[..., SeparationRecord], context: StageContext, quality: Quality, overlap: int
) -> None:
    record = separate(FakeSeparator((0.5,)), job=replace(context.job, options=replace(UNGATED, quality=quality)))
    assert record.overlap_frames == overlap


def test_a_model_is_given_the_mix_at_the_level_that_it_wants(
    separate: Callable[..., SeparationRecord], context: StageContext
) -> None:
    class Listening(FakeSeparator):
        loudest = 0.0

        def separate(self, mix: Array) -> Array:
            self.loudest = max(self.loudest, float(np.abs(mix).max()))
            return super().separate(mix)

    normalised, as_it_is = Listening((0.5,)), Listening((0.5,), normalised=False, runtime="another")
    for separator in (normalised, as_it_is):
        separate(separator)
    assert normalised.loudest == pytest.approx(2**0.5, rel=0.01)  # a sine of unit deviation
    assert as_it_is.loudest == pytest.approx(0.5, rel=0.01)
