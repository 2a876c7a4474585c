"""Mix in, stems out."""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from stemscribe.arrays import Array
from stemscribe.audio.mix import MixInfo
from stemscribe.audio.rounding import rounding
from stemscribe.audio.source import AudioSource
from stemscribe.choices import SAMPLE_BYTES
from stemscribe.environments.profile import DEMUCS
from stemscribe.errors import ModelError, StageError, StorageError
from stemscribe.jobs.job import Options
from stemscribe.pipeline.engines import STEMS, require_environment
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.pipeline.stages.look import LOOKERS, is_gated, look
from stemscribe.records import read_record, write_record
from stemscribe.separation.base import Separator
from stemscribe.separation.checks import WORDS, Doubt, summary
from stemscribe.separation.engines.demucs_torch import DemucsTorch
from stemscribe.separation.engines.htdemucs_onnx import CHANNELS
from stemscribe.separation.engines.onnx import open_onnx
from stemscribe.separation.finish import (
    ACCOMPANIMENT,
    VOCALS,
    StemFiles,
    WrittenStem,
    at_file_level,
    with_accompaniment,
    write_stems,
)
from stemscribe.separation.gate import GateRules, Treated, Treatment, in_runs, out_of_runs, treatments
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.proof import Proof, prove
from stemscribe.separation.stream import (
    AS_IT_IS,
    OVERLAPS,
    Normalisation,
    ReadMix,
    plan_for,
    separate,
    separate_again,
)
from stemscribe.timebase import Seconds, to_seconds
from stemscribe.wording import readable

log = logging.getLogger(__name__)

_SIGN_OF_LIFE_SECONDS = 60.0


@dataclass(frozen=True)
class SeparationRecord:
    """`separation.json`: how the stems came about, and what is to be thought of them.

    Attributes:
        stems: each one's `peak` as separated, and the `gain` it was written at.
        gate: how the windows were treated, those in a row that were treated alike together; empty where none was left
            out unseen.
        cut_off: by stem, how many samples exceeded what the file was to hold.
        doubts: what cannot be right, window by window; what was not usable is silent in the stems.
        healed: what was doubtful in windows that came out well when they were separated once more.
        proof: what reading the stems back has shown.
    """

    model: str
    runtime: str
    sample_rate: int
    frames: int
    windows: int
    window_frames: int
    overlap_frames: int
    stems: dict[str, dict[str, float]]
    gate: tuple[Treated, ...] = ()
    cut_off: dict[str, int] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()
    healed: tuple[Doubt, ...] = ()
    proof: Proof | None = None


class SourceSeparation:
    """Separates the voices from everything else with Demucs, window by window."""

    name = "source_separation"
    version = 4
    depends_on = (
        "engine",
        "separation_model",
        "gate",
        "quality",
        "stems",
        "stem_format",
        "stem_subtype",
        "clip_mode",
        "device",
        "threads",
    )
    parameters: ClassVar[dict[str, object]] = {"overlap": OVERLAPS, "gate": asdict(GateRules())}
    inputs = ("mix", "mix_info")

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        if options.engine == "torch":
            return {
                "core": ("numpy", "openvino", "onnxruntime", "soundfile", "soxr"),
                DEMUCS: ("torch", "demucs", "numpy", "julius", "openunmix"),
            }
        return {"core": ("numpy", "openvino", "onnxruntime", "onnxruntime-gpu", "soundfile", "soxr")}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        names = (VOCALS, ACCOMPANIMENT) if options.stems == "two" else STEMS[options.stems]
        stems = sorted(names, key=lambda name: name != VOCALS)
        files = tuple(
            Artefact(name, f"{name}.{options.stem_format}", f"{name.capitalize()} extracted") for name in stems
        )
        return (*files, Artefact("separation", "separation.json"))

    def models(self, options: Options) -> tuple[str, ...]:
        return (options.separation_model, *(LOOKERS if is_gated(options) else ()))

    def load(
        self, options: Options, models: Mapping[str, Path], environments: Path
    ) -> AbstractContextManager[Separator]:
        """The separator, ready to separate."""
        separator = _open(options, models, environments)
        separator.load()
        return _closing(separator)

    def run(self, context: StageContext) -> None:
        options = context.options
        log.info("Running source separation...")
        info = read_record(context.inputs["mix_info"], MixInfo)
        paths = {name: path for name, path in context.outputs.items() if name != "separation"}
        files = StemFiles(paths, info.sample_rate, options.stem_format, options.stem_subtype, options.clip_mode)
        with AudioSource(context.inputs["mix"], gain=info.gain) as mix, ExitStack() as stack:
            with _ready(context, mix, info) as (separator, treated):
                layout = _layout(separator, info, options, treated)
                journal = stack.enter_context(Journal(_journal_folder(context, layout), layout))
                _check_space(context, layout, journal)
                _separate_all(context, separator, mix, info, layout, journal, treated)
            _judge(context, journal)
            read_mix = _telling(mix.read, lambda: _report(context, layout, info, len(layout.plan)))
            stems = write_stems(journal, layout, read_mix, files)
            proof, clicks = _prove(journal, layout, read_mix, files, stems)
        doubts = (*journal.doubts, *clicks)
        _tell(stems, doubts, journal.healed)
        record = SeparationRecord(
            model=options.separation_model,
            runtime=separator.runtime,
            sample_rate=info.sample_rate,
            frames=info.frames,
            windows=len(layout.plan),
            window_frames=layout.plan.window_frames,
            overlap_frames=layout.plan.overlap_frames,
            stems={name: {"peak": stem.peak, "gain": stem.gain} for name, stem in stems.items()},
            gate=tuple(in_runs(layout.plan, info.sample_rate, treated)) if treated else (),
            cut_off={name: stem.cut_off for name, stem in stems.items()},
            doubts=doubts,
            healed=journal.healed,
            proof=proof,
        )
        write_record(context.outputs["separation"], record)


@dataclass(frozen=True)
class OneWindow:
    """A window that was separated again, beside what the stems hold.

    Attributes:
        index: which one; `windows` is how many there are.
        start: where it begins, on the mix.
        runtime: what computed it now, and what had computed it.
        exact: whether every sample is the same.
        snr_db: how far what differs is below the stems; infinite where nothing does.
    """

    index: int
    windows: int
    start: Seconds
    runtime: tuple[str, str]
    exact: bool
    snr_db: float


def separate_one_again(context: StageContext, pick: Callable[[int], int]) -> OneWindow | None:
    """Separate one window again, and compare it with the stems that are there.

    Args:
        context: as for the stage; its `outputs` are the files that it had made, which are only read.
        pick: chooses a window, given how many there are.

    Returns:
        What came of it; `None` where the files hold something else on purpose (MP3), or nothing at all.
    """
    options = context.options
    info = read_record(context.inputs["mix_info"], MixInfo)
    record = read_record(context.outputs["separation"], SeparationRecord)
    if options.stem_format == "mp3" or not record.windows:
        return None
    paths = {name: path for name, path in context.outputs.items() if name != "separation"}
    with AudioSource(context.inputs["mix"], gain=info.gain) as mix, _separator(context) as separator:
        treated = out_of_runs(record.gate)
        layout = _layout(separator, info, options, treated)
        level = _level(separator, info)
        again = separate_again(mix.read, separator, layout.plan, level, pick(len(layout.plan)), treated)
        window = again.window
        stems = with_accompaniment(layout, mix.read, window, again.finished)
    rounded = rounding(options.stem_format, options.stem_subtype)
    signal = noise = 0.0
    for name, path in paths.items():
        computed = rounded(at_file_level(stems[name], record.stems[name]["gain"], options.clip_mode))
        with AudioSource(path) as file:
            held = file.read(window.start, window.start + computed.shape[-1])
        signal += float(np.sum(np.square(held, dtype=np.float64)))
        noise += float(np.sum(np.square(held - computed, dtype=np.float64)))
    return OneWindow(
        index=window.index,
        windows=len(layout.plan),
        start=to_seconds(window.start, info.sample_rate),
        runtime=(separator.runtime, record.runtime),
        exact=noise == 0,
        snr_db=math.inf if noise == 0 else 10 * math.log10(max(signal, 1e-30) / noise),
    )


@contextmanager
def _ready(context: StageContext, mix: AudioSource, info: MixInfo) -> Iterator[tuple[Separator, tuple[Treatment, ...]]]:
    """What separates, and how each window is to be treated.

    How long the windows of a graph are is known before it is loaded: so the look is taken meanwhile.
    """
    if context.options.engine != "torch":
        treated = _treated(context, _open(context.options, context.models, context.environments), mix, info)
        with _separator(context) as separator:
            yield separator, treated
    else:
        with _separator(context) as separator:
            yield separator, _treated(context, separator, mix, info)


def _separator(context: StageContext) -> AbstractContextManager[Separator]:
    """What separates, for as long as it is needed."""
    if context.begun is not None:
        return context.begun.result()
    return _closing(_open(context.options, context.models, context.environments))


def _open(options: Options, models: Mapping[str, Path], environments: Path) -> Separator:
    folder, stems = models[options.separation_model], STEMS[options.stems]
    if options.engine == "torch":
        python = require_environment(environments)
        return DemucsTorch(python, folder, stems=stems, device=options.device, threads=options.threads)
    return open_onnx(folder, stems=stems, device=options.device, threads=options.threads)


def _closing(separator: Separator) -> AbstractContextManager[Separator]:
    return separator if isinstance(separator, DemucsTorch) else nullcontext(separator)


def _treated(context: StageContext, separator: Separator, mix: AudioSource, info: MixInfo) -> tuple[Treatment, ...]:
    """How each window is to be treated; empty where all of them are to be separated, because nobody has looked.

    In a rehearsal they are all separated after the look: nothing may be left untried.
    """
    if not is_gated(context.options) or not info.frames:
        return ()
    plan = plan_for(separator, info.frames, _overlap(context.options))
    treated: list[Treatment] = treatments(plan, info.sample_rate, look(context, mix, plan))
    if context.rehearsal:
        treated = ["separated"] * len(plan)
    counts = Counter(treated)
    log.info(
        "%.0f %% of windows need to be separated; in %d there is no voice, and in %d nothing else",
        100 * counts["separated"] / max(len(plan), 1),
        counts["silent"],
        counts["passed"],
    )
    return tuple(treated)


def _overlap(options: Options) -> float:
    """The share of a window that it has in common with the next one; as in Demucs where nobody has decided."""
    return OVERLAPS["exact" if options.quality == "auto" else options.quality]


def _level(separator: Separator, info: MixInfo) -> Normalisation:
    return Normalisation(info.mean, info.std) if separator.normalised else AS_IT_IS


def _layout(separator: Separator, info: MixInfo, options: Options, treated: Sequence[Treatment]) -> Layout:
    """The journal's layout, once it is clear that the model was made for this kind of sound."""
    if separator.sample_rate != info.sample_rate or separator.channels != CHANNELS:
        raise ModelError(
            f"The model wants {separator.channels} channels at {separator.sample_rate} Hz; the mix has {CHANNELS} at"
            f" {info.sample_rate} Hz.",
            hint="Choose another --separation-model.",
        )
    plan = plan_for(separator, info.frames, _overlap(options))
    gate = hashlib.sha256(" ".join(treated).encode()).hexdigest() if treated else ""
    return Layout(plan, separator.stems, separator.channels, separator.runtime, gate)


def _journal_folder(context: StageContext, layout: Layout) -> Path:
    """Where the windows of this separation are committed; those that another device computed stay beside them."""
    folder = context.scratch / hashlib.sha256(layout.heading()).hexdigest()[:8]
    if not folder.exists() and any(path.is_dir() for path in context.scratch.iterdir()):
        log.warning(
            "what was separated before was not computed by %s: it begins anew; what there is stays until it is done",
            layout.runtime,
        )
    return folder


def _check_space(context: StageContext, layout: Layout, journal: Journal) -> None:
    """Refuse to begin what the disk cannot hold."""
    samples = (len(context.outputs) - 1) * layout.plan.total_frames * layout.channels
    stems = samples * SAMPLE_BYTES[context.options.stem_subtype]
    needed = layout.total_bytes - journal.committed_bytes + stems
    free = shutil.disk_usage(context.scratch).free
    if free < needed:
        raise StorageError(
            f"Separation needs {readable(needed)} on the disk of {context.scratch.parents[1]},"
            f" and {readable(free)} are free.",
            hint="Free some space, or choose another folder with --out-dir.",
        )


def _separate_all(
    context: StageContext,
    separator: Separator,
    mix: AudioSource,
    info: MixInfo,
    layout: Layout,
    journal: Journal,
    treated: Sequence[Treatment],
) -> None:
    """Separate what is not committed yet, and tell how fast that went."""
    log.info("Processing audio with Demucs...")
    done_before = journal.committed
    to_do = range(done_before, len(layout.plan))
    if any(not treated or treated[index] == "separated" for index in to_do):
        separator.load()
    started = time.monotonic()
    _report(context, layout, info, done_before)
    for window in separate(mix.read, separator, layout.plan, _level(separator, info), journal, treated):
        _report(context, layout, info, window.index + 1)
    if to_do:
        seconds = max(time.monotonic() - started, 1e-9)
        film = (info.frames - layout.plan[done_before].start) / info.sample_rate
        log.info("separated %.1f s in %.1f s with %s (%.2fx)", film, seconds, separator.runtime, film / seconds)


def _judge(context: StageContext, journal: Journal) -> None:
    """Refuse, while it is only rehearsed, a model that gives no sound: of the whole film, nothing would be left."""
    for doubt in journal.doubts:
        if context.rehearsal and doubt.kind in {"not_finite", "dead"}:
            raise StageError(
                f"The separation model does not work on this machine: it gives {WORDS[doubt.kind]}"
                f" ({doubt.evidence:g} {doubt.unit} of {doubt.stem} in the first window that shows it).",
                hint="Try --device cpu, or another --engine; `stemscribe doctor` tries both environments.",
            )


def _telling(read_mix: ReadMix, alive: Callable[[], None]) -> ReadMix:
    """Reads the mix, and says once a minute that the work goes on: of a long film, files take long too."""
    last = time.monotonic()

    def read(start: int, stop: int) -> Array:
        nonlocal last
        if time.monotonic() - last >= _SIGN_OF_LIFE_SECONDS:
            last = time.monotonic()
            alive()
        return read_mix(start, stop)

    return read


def _prove(
    journal: Journal, layout: Layout, read_mix: ReadMix, files: StemFiles, stems: Mapping[str, WrittenStem]
) -> tuple[Proof, tuple[Doubt, ...]]:
    started = time.monotonic()
    proof, clicks = prove(journal, layout, read_mix, files, stems)
    log.info(
        "read back %d stems of %d frames in %.1f s: %s%s",
        len(stems),
        proof.frames,
        time.monotonic() - started,
        "every sample is what was computed" if proof.exact else "they are complete",
        "" if proof.largest_error is None else f", and their sum the mix within {proof.largest_error:.1f} steps",
    )
    return proof, clicks


def _tell(stems: Mapping[str, WrittenStem], doubts: tuple[Doubt, ...], healed: tuple[Doubt, ...]) -> None:
    """Say what is worth knowing of the stems, each in a line."""
    for name, stem in stems.items():
        if stem.gain < 1.0:
            log.info("%s peaked at %.2f: written at %.3f of its level", name, stem.peak, stem.gain)
        if stem.cut_off:
            log.warning("%s peaked at %.2f: %d samples were cut off", name, stem.peak, stem.cut_off)
    if doubts:
        log.log(
            logging.INFO if all(doubt.kind == "seam" for doubt in doubts) else logging.WARNING,
            "doubtful windows: %s; separation.json has all of them",
            summary(doubts),
        )
    if healed:
        log.warning("separated once more, and well then: %s; is this machine sound?", summary(healed))


def _report(context: StageContext, layout: Layout, info: MixInfo, done: int) -> None:
    film = min(done * layout.plan.stride_frames, info.frames) / info.sample_rate
    context.progress(Progress(done, len(layout.plan), "windows", film))
