"""Mix in, stems out."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stemscribe.audio.mix import MixInfo
from stemscribe.audio.source import AudioSource
from stemscribe.choices import SAMPLE_BYTES
from stemscribe.environments.profile import DEMUCS
from stemscribe.errors import ModelError, StorageError
from stemscribe.jobs.job import Options
from stemscribe.pipeline.engines import STEMS, require_environment
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.records import read_record, write_record
from stemscribe.separation.base import Separator
from stemscribe.separation.engines.demucs_torch import DemucsTorch
from stemscribe.separation.engines.htdemucs_onnx import CHANNELS, HTDemucsOnnx
from stemscribe.separation.finish import ACCOMPANIMENT, VOCALS, StemFiles, write_stems
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.stream import OVERLAP, Normalisation, plan_for, separate
from stemscribe.wording import readable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeparationRecord:
    """`separation.json`: how the stems came about. `stems` gives each one's peak as separated and the gain it was
    written at.
    """

    model: str
    runtime: str
    sample_rate: int
    frames: int
    windows: int
    window_frames: int
    overlap_frames: int
    stems: dict[str, dict[str, float]]


class SourceSeparation:
    """Separates the voices from everything else with Demucs, window by window."""

    name = "source_separation"
    version = 1
    depends_on = (
        "engine",
        "separation_model",
        "stems",
        "stem_format",
        "stem_subtype",
        "clip_mode",
        "device",
        "threads",
    )
    parameters: ClassVar[dict[str, object]] = {"overlap": OVERLAP}
    inputs = ("mix", "mix_info")

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        if options.engine == "torch":
            return {"core": ("numpy", "soundfile"), DEMUCS: ("torch", "demucs", "numpy", "julius", "openunmix")}
        return {"core": ("numpy", "openvino", "onnxruntime", "onnxruntime-gpu", "soundfile")}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        names = (VOCALS, ACCOMPANIMENT) if options.stems == "two" else STEMS[options.stems]
        stems = sorted(names, key=lambda name: name != VOCALS)
        files = tuple(
            Artefact(name, f"{name}.{options.stem_format}", f"{name.capitalize()} extracted") for name in stems
        )
        return (*files, Artefact("separation", "separation.json"))

    def models(self, options: Options) -> tuple[str, ...]:
        return (options.separation_model,)

    def run(self, context: StageContext) -> None:
        options = context.options
        log.info("Running source separation...")
        info = read_record(context.inputs["mix_info"], MixInfo)
        paths = {name: path for name, path in context.outputs.items() if name != "separation"}
        files = StemFiles(paths, info.sample_rate, options.stem_format, options.stem_subtype, options.clip_mode)
        with AudioSource(context.inputs["mix"], gain=info.gain) as mix, ExitStack() as stack:
            with _separator(context) as separator:
                layout = _layout(separator, info)
                journal = stack.enter_context(Journal(_journal_folder(context, layout), layout))
                _check_space(context, layout, journal)
                _separate_all(context, separator, mix, info, layout, journal)
            stems = write_stems(journal, layout, mix.read, files)
        for name, stem in stems.items():
            if stem["gain"] < 1.0:
                log.info("%s peaked at %.2f: written at %.3f of its level", name, stem["peak"], stem["gain"])
        record = SeparationRecord(
            model=options.separation_model,
            runtime=separator.runtime,
            sample_rate=info.sample_rate,
            frames=info.frames,
            windows=len(layout.plan),
            window_frames=layout.plan.window_frames,
            overlap_frames=layout.plan.overlap_frames,
            stems=stems,
        )
        write_record(context.outputs["separation"], record)


@contextmanager
def _separator(context: StageContext) -> Iterator[Separator]:
    """What separates, for as long as it is needed."""
    options = context.options
    folder, stems = context.models[options.separation_model], STEMS[options.stems]
    if options.engine == "torch":
        python = require_environment(context.environments)
        with DemucsTorch(python, folder, stems=stems, device=options.device, threads=options.threads) as separator:
            yield separator
    else:
        yield HTDemucsOnnx(folder, stems=stems, device=options.device, threads=options.threads)


def _layout(separator: Separator, info: MixInfo) -> Layout:
    """The journal's layout, once it is clear that the model was made for this kind of sound."""
    if separator.sample_rate != info.sample_rate or separator.channels != CHANNELS:
        raise ModelError(
            f"The model wants {separator.channels} channels at {separator.sample_rate} Hz; the mix has {CHANNELS} at"
            f" {info.sample_rate} Hz.",
            hint="Choose another --separation-model.",
        )
    plan = plan_for(separator, info.frames)
    return Layout(plan, separator.stems, separator.channels, separator.runtime)


def _journal_folder(context: StageContext, layout: Layout) -> Path:
    """Where the windows of this separation are committed; those that another device computed stay beside them."""
    folder = context.scratch / hashlib.sha256(layout.heading()).hexdigest()[:8]
    if not folder.exists() and any(context.scratch.iterdir()):
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
    context: StageContext, separator: Separator, mix: AudioSource, info: MixInfo, layout: Layout, journal: Journal
) -> None:
    """Separate what is not committed yet, and tell how fast that went."""
    log.info("Processing audio with Demucs...")
    done_before = journal.committed
    if done_before < len(layout.plan):
        separator.load()
    started = time.monotonic()
    _report(context, layout, info, done_before)
    for window in separate(mix.read, separator, layout.plan, Normalisation(info.mean, info.std), journal):
        _report(context, layout, info, window.index + 1)
    if done_before < len(layout.plan):
        seconds = max(time.monotonic() - started, 1e-9)
        film = (info.frames - layout.plan[done_before].start) / info.sample_rate
        log.info("separated %.1f s in %.1f s with %s (%.2fx)", film, seconds, separator.runtime, film / seconds)


def _report(context: StageContext, layout: Layout, info: MixInfo, done: int) -> None:
    film = min(done * layout.plan.stride_frames, info.frames) / info.sample_rate
    context.progress(Progress(done, len(layout.plan), "windows", film))
