from pathlib import Path

import pytest

from stemscribe.separation.engines import htdemucs_onnx, spleeter_onnx
from stemscribe.separation.engines.htdemucs_onnx import HTDemucsOnnx
from stemscribe.separation.engines.onnx import open_onnx
from stemscribe.separation.engines.spleeter_onnx import SpleeterOnnx


@pytest.mark.parametrize(
    ("file", "engine"), [(htdemucs_onnx.GRAPH_FILE, HTDemucsOnnx), (spleeter_onnx.GRAPH_FILE, SpleeterOnnx)]
)
def test_the_graph_in_the_folder_tells_the_engine(tmp_path: Path, file: str, engine: type) -> None:
    (tmp_path / file).touch()
    separator = open_onnx(tmp_path, stems=("vocals",), device="cpu", threads=1)
    assert isinstance(separator, engine)
    assert separator.stems == ("vocals",)
    assert separator.normalised == (engine is HTDemucsOnnx)


def test_nothing_is_loaded_before_it_is_needed(tmp_path: Path) -> None:
    separator = open_onnx(tmp_path / "nowhere", stems=("vocals",))
    with pytest.raises(Exception, match="nowhere"):
        separator.load()
