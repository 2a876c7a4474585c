"""The torch engine: the process on the other side of it, and what it separates."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from fakes import noise
from stemscribe.errors import EnvironmentBroken, ModelError, StageError, UsageError
from stemscribe.separation.base import BatchSeparator
from stemscribe.separation.engines import demucs_torch
from stemscribe.separation.engines.demucs_torch import WORKER, DemucsTorch, working_device
from stemscribe.separation.engines.demucs_torch_worker import fitting
from stemscribe.separation.engines.htdemucs_onnx import HTDemucsOnnx

posix = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
STEMS = ("drums", "bass", "other", "vocals")


@pytest.fixture(scope="module")
def small(make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("small") / "small.safetensors")


def stand_in(folder: Path, script: str) -> Path:
    """A Python that is none: it is asked to run the worker, and does something else."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_an_environment_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBroken, match=r"cannot be started: No such file or directory") as caught:
        DemucsTorch(tmp_path / "python", tmp_path, stems=("vocals",))
    assert "./bootstrap.sh --env demucs" in caught.value.hint


def test_an_environment_without_torch_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBroken, match=r"is damaged: ModuleNotFoundError: No module named 'torch'\."):
        DemucsTorch(Path(sys.executable), tmp_path, stems=("vocals",))


@posix
@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        ("echo 'it hurts.' >&2; exit 3", EnvironmentBroken, r"The torch worker ended with exit code 3: it hurts\."),
        ("exit 0", EnvironmentBroken, r"The torch worker ended with exit code 0: it said nothing\."),
        ("kill -7 $$", EnvironmentBroken, r"The torch worker died of SIG\w+: a compiled library in its environment is"),
        ("kill -9 $$", StageError, r"The torch worker was killed, most likely because memory ran out\."),
    ],
)
def test_a_worker_that_dies_is_said_so(tmp_path: Path, script: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        DemucsTorch(stand_in(tmp_path, script), tmp_path, stems=("vocals",))


@posix
def test_a_worker_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demucs_torch, "LOADING_SECONDS", 0.5)
    with pytest.raises(StageError, match=r"has not answered for 0 s, and was ended|has not answered for 1 s"):
        DemucsTorch(stand_in(tmp_path, f"echo $$ > {tmp_path / 'pid'}; exec sleep 60"), tmp_path, stems=("vocals",))
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("free", "windows"), [(0, 1), (1_000, 1), (2_000, 1), (3_000, 2), (10_000, 7), (11_500, 8), (10**9, 8)]
)
def test_a_gpu_is_given_as_many_windows_as_it_has_room_for(free: int, windows: int) -> None:
    assert fitting(free, each=1_000) == windows


@pytest.mark.torch
class TestWithTorch:
    def test_a_cpu_is_given_one_window_at_once(self, demucs_python: Path, small: Path) -> None:
        with DemucsTorch(demucs_python, small, stems=STEMS, device="cpu") as separator:
            assert isinstance(separator, BatchSeparator)
            assert separator.batch == 1

    def test_windows_by_the_batch_give_the_same(self, demucs_python: Path, small: Path) -> None:
        windows = [noise(44100, seed=seed, level=0.1 * (seed + 1)) for seed in range(3)]
        with DemucsTorch(demucs_python, small, stems=STEMS) as separator:
            alone = np.stack([separator.separate(window) for window in windows])
            together = separator.separate_batch(windows)
            np.testing.assert_array_equal(separator.separate_batch(windows[1:2])[0], alone[1])
        assert alone.std(axis=(1, 2, 3)).min() > 0
        np.testing.assert_allclose(together, alone, atol=1e-5 * np.abs(alone).max())

    def test_a_batch_for_which_memory_runs_out_is_computed_by_halves(self, demucs_python: Path) -> None:
        script = """
import runpy, sys
import numpy, torch
worker = runpy.run_path(sys.argv[1])
bag = worker["Bag"](None, ["vocals"], "cpu")
windows = numpy.random.default_rng(0).standard_normal((5, 2, 44100)).astype("f4")
whole, sizes = bag.separate(windows), []
compute = bag._separated
def separated(windows):
    sizes.append(len(windows))
    if len(windows) > most:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
    return compute(windows)
bag._separated, most = separated, 2
halves = bag.separate(windows)
assert sizes == [5, 2, 3, 1, 2], sizes
assert numpy.abs(halves - whole).max() < 1e-5 * numpy.abs(whole).max()
most = 0
try:
    bag.separate(windows)
except torch.cuda.OutOfMemoryError:
    print("given up")
"""
        ran = subprocess.run([demucs_python, "-c", script, WORKER], capture_output=True, text=True, check=False)
        assert ran.stdout == "given up\n", ran.stderr

    def test_the_same_window_gives_the_same_stems(self, demucs_python: Path, small: Path) -> None:
        window = noise(44100)
        with DemucsTorch(demucs_python, small, stems=STEMS) as separator:
            assert (separator.sample_rate, separator.channels, separator.window_frames) == (44100, 2, 44100)
            first, second = separator.separate(window), separator.separate(window)
        with DemucsTorch(demucs_python, small, stems=("vocals", "drums")) as separator:
            picked = separator.separate(window)
        assert first.shape == (4, 2, 44100)
        assert first.std() > 0
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(picked, first[[3, 0]])

    def test_a_bag_averages_its_models_stem_by_stem(
        self, demucs_python: Path, make_model: Callable[..., Path], tmp_path: Path
    ) -> None:
        window = noise(44100)
        alone = []
        for seed in (1, 2):
            folder = make_model(tmp_path / str(seed) / "a.safetensors", seed)
            with DemucsTorch(demucs_python, folder, stems=STEMS) as separator:
                alone.append(separator.separate(window))
            (tmp_path / "bag").mkdir(exist_ok=True)
            os.link(folder / "a.safetensors", tmp_path / "bag" / f"{seed}.safetensors")
        weights = [[1.0, 0.0, 1.0, 3.0], [0.0, 1.0, 1.0, 1.0]]
        bag = {"models": ["1.safetensors", "2.safetensors"], "weights": weights, "segment": None}
        (tmp_path / "bag" / "bag.json").write_text(json.dumps(bag))
        with DemucsTorch(demucs_python, tmp_path / "bag", stems=STEMS) as separator:
            both = separator.separate(window)
        shares = np.array(weights, np.float32)[:, :, None, None]
        expected = (shares * np.stack(alone)).sum(0) / shares.sum(0)
        np.testing.assert_allclose(both, expected, atol=1e-6)

    def test_models_that_share_no_wanted_stem_are_not_loaded(
        self, demucs_python: Path, small: Path, tmp_path: Path
    ) -> None:
        os.link(small / "small.safetensors", tmp_path / "a.safetensors")
        bag = {"models": ["a.safetensors", "missing.safetensors"], "weights": [[1, 1, 1, 1], [1, 1, 1, 0]]}
        (tmp_path / "bag.json").write_text(json.dumps(bag))
        with DemucsTorch(demucs_python, tmp_path, stems=("vocals",)) as separator:
            assert separator.separate(noise(44100)).shape == (1, 2, 44100)
        with pytest.raises(StageError, match=r"missing\.safetensors"):
            DemucsTorch(demucs_python, tmp_path, stems=("drums",))

    @pytest.mark.parametrize(
        ("klass", "sizes", "frames"),
        [
            ("demucs.hdemucs.HDemucs", {"channels": 8, "depth": 4, "nfft": 1024, "segment": 1}, 44100),
            ("demucs.demucs.Demucs", {"channels": 4, "depth": 3, "lstm_layers": 0, "segment": 1}, 44100),
        ],
    )
    def test_demucs_older_models_work_as_well(
        self,
        demucs_python: Path,
        make_model: Callable[..., Path],
        tmp_path: Path,
        klass: str,
        sizes: dict[str, object],
        frames: int,
    ) -> None:
        folder = make_model(tmp_path / "old" / "old.safetensors", klass=klass, **sizes)
        with DemucsTorch(demucs_python, folder, stems=("vocals",)) as separator:
            assert separator.window_frames == frames
            stem = separator.separate(noise(frames))
        assert stem.shape == (1, 2, frames)
        assert np.isfinite(stem).all()

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"device": "cuda"}, UsageError, r"The device is not to be had: torch \S+ cannot use cuda here\."),
            ({"stems": ("guitar",)}, ModelError, r"it has no stem guitar; it has drums, bass, other, vocals\."),
        ],
    )
    def test_what_is_not_to_be_had_is_said_so(
        self, demucs_python: Path, small: Path, changes: dict[str, object], error: type[Exception], message: str
    ) -> None:
        if changes.get("device") == "cuda" and working_device(demucs_python) == "cuda":
            pytest.skip("there is a GPU here")
        with pytest.raises(error, match=message):
            DemucsTorch(demucs_python, small, **{"stems": ("vocals",), **changes})  # type: ignore[arg-type]

    def test_a_file_names_no_class_of_its_own_choice(
        self, demucs_python: Path, make_model: Callable[..., Path], tmp_path: Path
    ) -> None:
        folder = make_model(tmp_path / "m" / "m.safetensors")
        path = folder / "m.safetensors"
        path.write_bytes(path.read_bytes().replace(b"demucs.htdemucs.HTDemucs", b"subprocess.getoutput.....", 1)[:-1])
        with pytest.raises((ModelError, StageError)):
            DemucsTorch(demucs_python, folder, stems=("vocals",))

    def test_a_random_model_takes_the_place_of_one_that_is_not_there(self, demucs_python: Path) -> None:
        with DemucsTorch(demucs_python, None, stems=("vocals",)) as separator:
            first = separator.separate(noise(44100))
        with DemucsTorch(demucs_python, None, stems=("vocals",)) as separator:
            np.testing.assert_array_equal(separator.separate(noise(44100)), first)

    def test_the_worker_leaves_with_its_caller(self, demucs_python: Path, small: Path) -> None:
        script = (
            "import sys, time; from pathlib import Path;"
            "from stemscribe.separation.engines.demucs_torch import DemucsTorch;"
            f"s = DemucsTorch(Path({str(demucs_python)!r}), Path({str(small)!r}), stems=('vocals',));"
            "print(s._worker._process.pid, flush=True); time.sleep(60)"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as caller:
            assert caller.stdout is not None
            worker = psutil.Process(int(caller.stdout.readline()))
            caller.kill()
        worker.wait(20)

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
    def test_an_interruption_meant_for_everyone_does_not_reach_the_worker(
        self, demucs_python: Path, small: Path
    ) -> None:
        with DemucsTorch(demucs_python, small, stems=("vocals",)) as separator:
            os.kill(separator._worker._process.pid, signal.SIGINT)
            time.sleep(0.1)
            assert separator.separate(noise(44100)).shape == (1, 2, 44100)

    @pytest.mark.models
    @pytest.mark.slow
    def test_torch_and_onnx_agree(self, demucs_python: Path, model: Callable[[str], Path], corpus: Path) -> None:
        mix, rate = soundfile.read(corpus / "reference" / "mixture.flac", dtype="float32")
        assert rate == 44100
        window = (mix[:343980].T - mix.mean()) / mix.std()
        window = np.ascontiguousarray(np.pad(window, ((0, 0), (0, 343980 - window.shape[1]))))
        onnx = HTDemucsOnnx(model("htdemucs-onnx"), stems=STEMS).separate(window)
        with DemucsTorch(demucs_python, model("htdemucs-torch"), stems=STEMS) as separator:
            torch = separator.separate(window)
        for name, one, other in zip(STEMS, torch, onnx, strict=True):
            assert 10 * np.log10(np.sum(one**2) / np.sum((one - other) ** 2)) >= 60, name


def test_the_worker_can_be_read_by_python_3_9() -> None:
    import ast

    ast.parse(WORKER.read_text(encoding="utf-8"), feature_version=(3, 9))
