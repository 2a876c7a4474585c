import hashlib
import json
import re
import subprocess
import sys

import pytest

from stemscribe.errors import ModelError
from stemscribe.models.convert import CONVERSIONS
from stemscribe.models.sources import Convert, Derive, Https, Hub, Text
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
CONVERTED = f"""
[[models.files]]
name = "model.bin"
sources = [
    {{ kind = "convert", conversion = "x", size = 9, sha256 = "{HEX}", origin = {{ kind = "file", path = "/m.th" }} }},
]
"""


def load(tmp_path, text):
    path = tmp_path / "catalog.toml"
    path.write_text(text, encoding="utf-8")
    return load_catalog(path)


def test_catalog_is_read_in_its_own_order(tmp_path):
    catalog = load(tmp_path, MODEL + FILE + MODEL.replace("tiny", "also") + DERIVED)
    assert list(catalog) == [*load_catalog(), "tiny", "also"]
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
        (MODEL.replace('"tiny"', r'"tiny\n"') + FILE, "name"),
        (MODEL.replace("tiny", "t" * 101) + FILE, "name"),
        (MODEL + FILE.replace('"model.bin"', r'"model.bin\n"'), "name"),
        ("models = " + "[" * 5000, "nested too deeply"),
        (MODEL.replace('"MIT"', '""') + FILE, "license"),
        (MODEL.replace('"tiny"', '"htdemucs"') + FILE, "htdemucs is the name of a built-in model"),
        (MODEL + 'stems = ["vocals", "vocals"]' + FILE, "more than one stem called vocals"),
        (MODEL + CONVERTED.replace(f'sha256 = "{HEX}", ', ""), "missing required field `sha256`"),
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


def converted(sha256=HEX, conversion="x"):
    return Convert(Https("https://nowhere.invalid/m.th"), conversion, sha256, 9)


def test_converted_file_needs_no_hash_for_it_is_given_by_that_of_its_origin(tmp_path, spec_of, file_of):
    (file,) = load(tmp_path, MODEL + CONVERTED)["tiny"].files
    assert (file.sha256, file.size, file.expected_bytes) == (None, None, 9)

    def digest(source):
        return spec_of(file_of(b"x", source, sha256=None)).digest

    assert digest(converted()) != digest(converted("b" * 64))
    assert digest(converted()) != digest(converted(conversion="y"))
    assert digest(converted()) == digest(Convert(Https("https://mirror.invalid/m.th"), "x", HEX, 9))


def test_one_source_that_is_not_pinned_asks_for_a_hash(file_of):
    with pytest.raises(ValueError, match="needs a sha256"):
        file_of(b"x", converted(), Https("https://nowhere.invalid/m"), sha256=None)


def test_own_models_come_after_the_built_in_ones_and_may_be_made_from_them(tmp_path):
    derived = DERIVED.replace('model = "tiny", file = "model.bin"', 'model = "htdemucs", file = "htdemucs.onnx"')
    catalog = load(tmp_path, MODEL + derived)
    assert list(catalog) == [*CATALOG, "tiny"]
    assert catalog["htdemucs"] == CATALOG["htdemucs"]


CATALOG = load_catalog()


def test_catalog_has_the_models_that_the_stages_ask_for():
    assert {name: model.engine for name, model in CATALOG.items()} == {
        "htdemucs": "htdemucs_export",
        "htdemucs-onnx": "htdemucs_onnx",
        "htdemucs-torch": "demucs_torch",
        "spleeter": "spleeter_onnx",
        "htdemucs_ft-torch": "demucs_torch",
        "htdemucs_6s-torch": "demucs_torch",
        "hdemucs_mmi-torch": "demucs_torch",
        "mdx_extra-torch": "demucs_torch",
        "mdx-torch": "demucs_torch",
        "silero-vad": "silero_vad",
        "whisper-base": "faster_whisper",
        "whisper-tiny.en": "faster_whisper",
        "whisper-small": "faster_whisper",
        "whisper-large-v3": "faster_whisper",
        "whisper-large-v3-turbo": "faster_whisper",
    }


VERIFIED = {"htdemucs", "htdemucs-onnx", "htdemucs-torch", "spleeter", "silero-vad", "whisper-base", "whisper-tiny.en"}


@pytest.mark.parametrize("model", CATALOG.values(), ids=list(CATALOG))
def test_every_entry_can_be_fetched_and_checked(model):
    assert model.verified == (model.name in VERIFIED)
    for file in model.files:
        assert file.expected_bytes
        assert file.sha256 or not model.verified
        for source in file.sources:
            assert not isinstance(source, Hub) or source.path == file.name
            assert not isinstance(source, Text) or source.content.encode() == content_of(file)
            assert not isinstance(source, Convert | Derive) or source.conversion in CONVERSIONS


def content_of(file):
    """The content of a `text` source, if it is what the catalog says of the file."""
    (source,) = file.sources
    content = source.content.encode()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
    return content


DEMUCS = [model for model in CATALOG.values() if model.engine == "demucs_torch"]


@pytest.mark.parametrize("model", DEMUCS, ids=lambda model: model.name)
def test_every_demucs_is_one_file_or_has_a_bag_that_names_its_files(model):
    weights = [file.name for file in model.files if file.name.endswith(".safetensors")]
    bags = [json.loads(content_of(file)) for file in model.files if file.name == "bag.json"]
    assert len(weights) + len(bags) == len(model.files)
    assert bags or len(weights) == 1
    for bag in bags:
        assert bag["models"] == weights
        assert bag["weights"] is None or [len(row) for row in bag["weights"]] == [len(model.stems)] * len(weights)
        assert bag["segment"] in {None, 44}


@pytest.mark.parametrize("model", DEMUCS, ids=lambda model: model.name)
def test_hash_of_a_checkpoint_begins_as_demucs_named_it(model):
    for file in model.files:
        for source in file.sources:
            if isinstance(source, Convert):
                name = source.origin.url.rpartition("/")[2]
                assert name == f"{file.name.removesuffix('.safetensors')}-{source.sha256[:8]}.th"


def test_every_separation_model_names_its_stems():
    four = ("drums", "bass", "other", "vocals")
    assert {name: model.stems for name, model in CATALOG.items() if model.stems} == {
        "htdemucs": four,
        "htdemucs-onnx": four,
        "htdemucs-torch": four,
        "spleeter": ("vocals", "accompaniment"),
        "htdemucs_ft-torch": four,
        "htdemucs_6s-torch": (*four, "guitar", "piano"),
        "hdemucs_mmi-torch": four,
        "mdx_extra-torch": four,
        "mdx-torch": four,
    }


@pytest.mark.parametrize("model", [m for m in CATALOG.values() if m.engine == "faster_whisper"], ids=lambda m: m.name)
def test_every_whisper_has_what_faster_whisper_loads(model):
    names = {file.name for file in model.files}
    assert {"config.json", "model.bin", "tokenizer.json"} <= names
    assert any(re.fullmatch(r"vocabulary\.(txt|json)", name) for name in names)


def test_licence_of_the_demucs_weights_is_told():
    for model in (CATALOG["htdemucs"], CATALOG["htdemucs-onnx"], *DEMUCS):
        assert "personal and research use" in model.license_note


def test_import_is_lean():
    heavy = ("httpx", "filelock", "numpy", "onnx", "pickle", "rich")
    script = f"import sys, stemscribe.models.store; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
