import re
import subprocess
import sys

import pytest

from stemscribe.errors import ModelError
from stemscribe.models.sources import Hub
from stemscribe.models.spec import load_catalog

HEX = "a" * 64
MODEL = """
[[models]]
name = "tiny"
engine = "fake"
description = "A tiny model"
license = "MIT"
license_url = "https://example.org/licence"
"""
FILE = f"""
[[models.files]]
name = "model.bin"
sha256 = "{HEX}"
size = 3
sources = [{{ kind = "file", path = "/model.bin" }}]
"""
DERIVED = """
[[models.files]]
name = "model.bin"
sha256 = "HEX"
sources = [{ kind = "derive", model = "tiny", file = "model.bin", conversion = "x" }]
""".replace("HEX", HEX)


def load(tmp_path, text):
    path = tmp_path / "catalog.toml"
    path.write_text(text, encoding="utf-8")
    return load_catalog(path)


def test_catalog_is_read_in_its_own_order(tmp_path):
    catalog = load(tmp_path, MODEL + FILE + MODEL.replace("tiny", "also") + DERIVED)
    assert list(catalog) == ["tiny", "also"]
    assert catalog["tiny"].files[0].size == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (MODEL, "missing required field `files`"),
        (MODEL + FILE.replace("size", "seize"), "unknown field `seize`"),
        (MODEL + FILE.replace(HEX, HEX.upper()), "sha256"),
        (MODEL + FILE.replace(HEX, HEX[:-1]), "sha256"),
        (MODEL + FILE.replace("size = 3", "size = 0"), "size"),
        (MODEL + FILE.replace("size = 3", 'size = "3"'), "Expected `int"),
        (MODEL + FILE.replace("model.bin", "../model.bin"), "name"),
        (MODEL + FILE.replace('"file"', '"ftp"'), "'ftp'"),
        (MODEL + FILE.replace(f'sha256 = "{HEX}"', ""), "needs a sha256"),
        (MODEL + FILE + FILE, "lists model.bin more than once"),
        (MODEL + FILE + MODEL + FILE, "more than one model called tiny"),
        (MODEL + DERIVED, "which no model before it has"),
        (MODEL.replace("https:", "http:") + FILE, "license_url"),
        (MODEL.replace('"tiny"', '"../tiny"') + FILE, "name"),
        (MODEL.replace('"MIT"', '""') + FILE, "license"),
        ("models = [", "catalog.toml"),
        ("", "missing required field `models`"),
    ],
)
def test_bad_catalog_is_refused_with_the_place(tmp_path, text, complaint):
    with pytest.raises(ModelError, match="not a valid model catalog") as caught:
        load(tmp_path, text)
    assert complaint in caught.value.message


def test_catalog_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        load_catalog(tmp_path / "none.toml")


def test_verified_model_has_every_hash(spec_of, file_of):
    hub = Hub("a/b", "c" * 40, "model.bin")
    with pytest.raises(ValueError, match="verified"):
        spec_of(file_of(b"x", hub, sha256=None), verified=True)


def test_digest_depends_on_names_and_hashes_alone(spec_of, file_of):
    digest = spec_of(file_of(b"x"), file_of(b"y", name="b")).digest
    assert digest == spec_of(file_of(b"y", name="b"), file_of(b"x"), description="Another", name="other").digest
    assert digest != spec_of(file_of(b"x"), file_of(b"z", name="b")).digest
    assert digest != spec_of(file_of(b"x"), file_of(b"y", name="c")).digest


def test_digest_of_an_unhashed_file_follows_its_revision(spec_of, file_of):
    def at(revision):
        return spec_of(file_of(b"x", Hub("a/b", revision * 40, "m"), sha256=None)).digest

    assert at("1") != at("2")


CATALOG = load_catalog()


def test_catalog_has_the_models_that_the_stages_ask_for():
    assert {name: model.engine for name, model in CATALOG.items()} == {
        "htdemucs": "htdemucs_onnx",
        "silero-vad": "silero_vad",
        "whisper-base": "faster_whisper",
        "whisper-tiny.en": "faster_whisper",
        "whisper-small": "faster_whisper",
        "whisper-large-v3": "faster_whisper",
        "whisper-large-v3-turbo": "faster_whisper",
    }


@pytest.mark.parametrize("model", CATALOG.values(), ids=list(CATALOG))
def test_every_entry_can_be_fetched_and_checked(model):
    assert model.verified == (model.name not in {"whisper-small", "whisper-large-v3", "whisper-large-v3-turbo"})
    for file in model.files:
        assert file.size is not None
        assert file.sha256 or not model.verified
        for source in file.sources:
            assert not isinstance(source, Hub) or source.path == file.name


@pytest.mark.parametrize("model", [m for m in CATALOG.values() if m.engine == "faster_whisper"], ids=lambda m: m.name)
def test_every_whisper_has_what_faster_whisper_loads(model):
    names = {file.name for file in model.files}
    assert {"config.json", "model.bin", "tokenizer.json"} <= names
    assert any(re.fullmatch(r"vocabulary\.(txt|json)", name) for name in names)


def test_licence_of_the_demucs_weights_is_told():
    assert "personal and research use" in CATALOG["htdemucs"].license_note


def test_import_is_lean():
    heavy = ("httpx", "filelock", "numpy", "rich")
    script = f"import sys, stemscribe.models.store; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
